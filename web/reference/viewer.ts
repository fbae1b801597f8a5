// The API reference: Swagger UI, without what the page around it has already or has no use for.

import SwaggerUI, { type Component, type System } from "swagger-ui-dist/swagger-ui-es-bundle.js";

import spec from "../../gen/openapi/openapi.json" with { type: "json" };
import { strings } from "../strings.ts";
import { prose } from "./prose.ts";

const nothing: Component = () => null;

/** Our own components in the place of some of the viewer's. */
function parts({ React: { createElement } }: System) {
  return {
    components: {
      /** What goes for all routes, and the routes: the page has a heading and a landmark. */
      Reference: ({ getComponent }: Record<string, unknown>) => {
        const operations = (getComponent as (name: string, isContainer: boolean) => Component)("operations", true);
        const introduction = prose(createElement, spec.info.description);
        return createElement("div", null, introduction, createElement(operations, null));
      },
    },
    wrapComponents: {
      // The session's cookie is nothing that can be typed in, and nothing is sent from here.
      authorizeOperationBtn: () => nothing,
      JsonSchemaForm: () => nothing,
      // Without the link, which stands inside of a button.
      OperationSummaryPath: (): Component => (properties) =>
        createElement("span", { className: "opblock-summary-path" }, pathOf(properties["operationProps"])),
      // Without colours, and a keyboard can scroll it.
      HighlightCode: (): Component => (properties) =>
        createElement("pre", { tabIndex: 0 }, String(properties["children"] ?? "")),
      Markdown: (): Component => (properties) => prose(createElement, String(properties["source"] ?? "")),
    },
  };
}

/** The properties are an immutable map. */
function pathOf(properties: unknown): string {
  return String((properties as { get(name: string): unknown }).get("path"));
}

/** What the viewer leaves to be said to those who don't see it. */
function tidy(root: Element): void {
  // A region without a name is no landmark, and no table any more.
  for (const table of root.querySelectorAll("table[role]")) {
    table.removeAttribute("role");
    table.removeAttribute("aria-live");
  }
  // A schema without a title.
  for (const button of root.querySelectorAll(".json-schema-2020-12-accordion:not([aria-label])")) {
    if (!button.textContent) button.setAttribute("aria-label", strings.reference.schema);
  }
}

const domNode = document.getElementById("reference");
if (domNode) {
  new MutationObserver(() => tidy(domNode)).observe(domNode, { childList: true, subtree: true });
  SwaggerUI({
    domNode,
    spec,
    plugins: [parts],
    layout: "Reference",
    deepLinking: true,
    docExpansion: "list",
    supportedSubmitMethods: [],
    syntaxHighlight: false,
    validatorUrl: null,
  });
}
