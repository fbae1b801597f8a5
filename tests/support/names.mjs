// The names that test files give their tests, also those that they put together: each file is loaded with a
// `node:test` that writes names down and runs nothing. `node tests/support/names.mjs file…` prints them as JSON.
import { register } from "node:module";
import process from "node:process";
import { pathToFileURL } from "node:url";

const recorder = `
  const describe = (name, ...rest) => {
    globalThis.names.push(name);
    rest.at(-1)();
  };
  const test = (name) => void globalThis.names.push(name);
  const nothing = () => {};
  export { describe, test, describe as suite, test as it, test as default };
  export { nothing as after, nothing as before, nothing as afterEach, nothing as beforeEach, nothing as mock };
`;
const url = (source) => `data:text/javascript,${encodeURIComponent(source)}`;
register(url(`
  const recorder = { url: ${JSON.stringify(url(recorder))}, shortCircuit: true };
  export const resolve = (specifier, context, next) => (specifier === "node:test" ? recorder : next(specifier, context));
`));

const found = {};
for (const file of process.argv.slice(2)) {
  globalThis.names = found[file] = [];
  await import(pathToFileURL(file).href);
}
console.log(JSON.stringify(found));
process.exit();
