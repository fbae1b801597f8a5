/** The one way in which pages make elements: text is text, and no attribute is a script. */

export type Child = Node | string | undefined | null | false;

export interface Props {
  class?: string;
  id?: string;
  on?: Partial<Record<"click" | "submit" | "input" | "change" | "close" | "cancel", (event: Event) => unknown>>;
  /** Any other attribute; `true` is one without a value. */
  [attribute: string]: unknown;
}

/** Makes an element. */
export function h<K extends keyof HTMLElementTagNameMap>(tag: K, props: Props = {}, ...children: Child[]): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name === "on") for (const [event, listener] of Object.entries(props.on ?? {})) element.addEventListener(event, listener);
    else if (value !== undefined && value !== false) element.setAttribute(harmless(name), destination(name, value === true ? "" : String(value)));
  }
  element.append(...children.filter((child): child is Node | string => child !== undefined && child !== null && child !== false));
  return element;
}

function harmless(name: string): string {
  if (/^on|^style$|^srcdoc$/i.test(name)) throw new TypeError(`no attribute of ours: ${name}`);
  return name;
}

/** An address that could hold a script isn't one of ours. */
function destination(name: string, value: string): string {
  if (name !== "href" && name !== "src") return value;
  const { protocol } = new URL(value, document.baseURI);
  if (!["https:", "http:", "blob:"].includes(protocol)) throw new TypeError(`no address of ours: ${protocol}`);
  return value;
}

const SVG = "http://www.w3.org/2000/svg";

/** Makes an SVG element. */
export function svg(tag: "svg" | "path" | "rect" | "title", attributes: Record<string, string>, ...children: (Node | string)[]): SVGElement {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(harmless(name), value);
  element.append(...children);
  return element;
}

/** The element that the page's HTML has under this id. */
export function byId(id: string): HTMLElement {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no #${id}`);
  return element;
}
