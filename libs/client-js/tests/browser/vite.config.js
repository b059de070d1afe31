import { fileURLToPath } from "node:url";

import { defineConfig } from "vite";

const built = (name) => fileURLToPath(new URL(`../../dist/${name}.js`, import.meta.url));

export default defineConfig({
  resolve: {
    alias: [
      { find: /^@artcafe\/client$/, replacement: built("index") },
      { find: /^@artcafe\/client\/react$/, replacement: built("react") },
    ],
  },
});
