import { defineConfig } from "vitest/config";

export default defineConfig({
  build: {
    target: "es2022",
    lib: { entry: { index: "src/index.ts", nats: "src/nats.ts", react: "src/react.ts" }, formats: ["es"] },
    rolldownOptions: { external: ["@nats-io/nats-core", "react"] },
    minify: true,
    sourcemap: true,
  },
  test: {
    include: ["tests/**/*.test.ts"],
    testTimeout: 20_000,
    // Files share the processor with the servers.
    maxWorkers: 1,
  },
});
