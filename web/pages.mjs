// Which pages there are. `http/pages.rs` of the authority says at which paths, and what each may do.

/** @type {import("../tools/lib/web.mjs").PageSource[]} */
export const pages = [
  { name: "landing", title: "landing.title", script: "pages/landing.ts", style: "styles/main.css" },
  { name: "login", title: "login.title", script: "pages/login.ts", style: "styles/main.css" },
  { name: "join", title: "join.title", script: "pages/join.ts", style: "styles/main.css" },
  { name: "callback", title: "callback.title", script: "pages/callback.ts", style: "styles/main.css" },
  { name: "me", title: "me.title", script: "pages/me.ts", style: "styles/main.css" },
  { name: "authorize", title: "authorize.title", script: "pages/authorize.ts", style: "styles/main.css" },
  { name: "console", title: "console.title", script: "pages/console.ts", style: "styles/main.css" },
  { name: "reference", title: "reference.title", script: "reference/viewer.ts", style: "reference/viewer.css" },
  { name: "404", title: "notFound.title", style: "styles/main.css" },
  { name: "problem", title: "problem.title", style: "styles/main.css" },
];

/** What pages refer to beside scripts and styles. */
export const assets = ["icon.svg"];
