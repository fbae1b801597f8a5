declare module "swagger-ui-dist/swagger-ui-es-bundle.js" {
  /** A component of React, as far as we write any. */
  export type Component = (properties: Record<string, unknown>) => unknown;

  export interface System {
    React: { createElement(type: string | Component, properties: object | null, ...children: unknown[]): unknown };
  }

  export interface Options {
    domNode: Element;
    spec: object;
    layout: string;
    plugins: ((system: System) => {
      components: Record<string, Component>;
      wrapComponents: Record<string, (original: Component) => Component>;
    })[];
    [option: string]: unknown;
  }

  export default function SwaggerUI(options: Options): unknown;
}
