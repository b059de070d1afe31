// Runs the script of docs/guide/browser.html without a browser; its elements are plain objects.
import { readFileSync } from "node:fs";

const { page, url, seed } = JSON.parse(process.argv[2]);
const html = readFileSync(page, "utf8");
const script = html.match(/<script type="module">([\s\S]*)<\/script>/)[1];

const element = (id) => ({
  value: html.match(new RegExp(`id="${id}"[^>]*? value=(['"])(.*?)\\1`))?.[2] ?? "",
  text: "",
  set textContent(text) {
    console.log(text.slice(this.text.length).trimEnd());
    this.text = text;
  },
  get textContent() {
    return this.text;
  },
});
const elements = Object.fromEntries(
  ["url", "seed", "connect", "subject", "data", "send", "log"].map((id) => [id, element(id)]),
);
globalThis.document = { getElementById: (id) => elements[id] };

await import(`data:text/javascript;base64,${Buffer.from(script).toString("base64")}`);
elements.url.value = url;
elements.seed.value = seed;
await elements.connect.onclick();

for await (const _line of process.stdin) elements.send.onclick();
process.exit(0);
