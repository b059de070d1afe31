import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));

// `vite` alone serves the page while its source changes; the API is that of a running `make dev`.
const API = process.env["ARTCAFE_API"] ?? "http://127.0.0.1:8000";

export default defineConfig({
  base: "/console/",
  resolve: { alias: { "@artcafe/client": path("../libs/client-js/src/index.ts") } },
  // The compiler turns JSX into calls of Preact's.
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    target: "es2022",
    outDir: path("../services/gateway/src/artcafe_gateway/console/static"),
    emptyOutDir: true,
    // The page's policy allows no data: addresses.
    assetsInlineLimit: 0,
  },
  server: { proxy: { "/api": { target: API, ws: true } } },
});
