// The prose of our own document: paragraphs, lists and `code`, made into elements. The viewer's way
// goes through HTML as text, which this page doesn't permit.

import type { System } from "swagger-ui-dist/swagger-ui-es-bundle.js";

type Make = System["React"]["createElement"];

/** `code` between backticks, and text. */
function words(make: Make, text: string): unknown[] {
  return text.split("`").map((part, index) => (index % 2 === 0 ? part : make("code", { key: index }, part)));
}

/** Paragraphs are apart by an empty line; one whose lines begin with a dash is a list. */
export function prose(make: Make, text: string): unknown {
  // The viewer adds tags of its own to what is to be prose.
  const blocks = text.replace(/<\/?i>/g, "").trim().split(/\n{2,}/).map((block, index) => {
    const lines = block.split("\n");
    if (!lines.every((line) => line.startsWith("- "))) return make("p", { key: index }, ...words(make, block));
    return make("ul", { key: index }, ...lines.map((line, key) => make("li", { key }, ...words(make, line.slice(2)))));
  });
  return make("div", { className: "renderedMarkdown" }, ...blocks);
}
