/** A QR code as SVG, black on white in every theme: scanners want it so. */

import { encode } from "uqr";
import { svg } from "./dom.ts";

export function qr(text: string, title: string): SVGElement {
  const { data, size } = encode(text, { ecc: "M", border: 4 });
  const path = data.flatMap((line, y) => line.flatMap((isDark, x) => (isDark ? [`M${x} ${y}h1v1h-1z`] : []))).join("");
  return svg(
    "svg",
    { class: "qr", viewBox: `0 0 ${size} ${size}`, role: "img", "shape-rendering": "crispEdges" },
    svg("title", {}, title),
    svg("rect", { width: String(size), height: String(size), fill: "#fff" }),
    svg("path", { d: path, fill: "#000" }),
  );
}
