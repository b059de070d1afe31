// Programs that use a new client. The seed is read from its file, so that no program contains it.

import type { ClientWithSeed } from "../../api/types.js";

export type Language = "python" | "typescript" | "nats";

export const LANGUAGES: { value: Language; label: string }[] = [
  { value: "python", label: "Python" },
  { value: "typescript", label: "TypeScript" },
  { value: "nats", label: "NATS CLI" },
];

export function snippet(language: Language, { client, connection }: ClientWithSeed, file: string): string {
  switch (language) {
    case "python":
      return `import asyncio
from pathlib import Path

import artcafe_client


async def main():
    async with artcafe_client.connect(
        seed=Path("${file}").read_text().strip(),
        client_id="${client.client_id}",
        connection={"websocket_url": "${connection.websocket_url}"},
    ) as client:
        messages = await client.subscribe("hello")
        await client.publish("hello", {"from": ${JSON.stringify(client.name)}})
        async for message in messages:
            print(message.subject, message.data)


asyncio.run(main())
`;
    case "typescript":
      return `import { readFileSync } from "node:fs";
import { connect } from "@artcafe/client";

const client = await connect({
  url: "${connection.websocket_url}",
  clientId: "${client.client_id}",
  seed: readFileSync("${file}", "utf8").trim(),
});

const messages = await client.subscribe("hello").confirmed();
await client.publish("hello", { from: ${JSON.stringify(client.name)} });
for await (const message of messages) {
  console.log(message.subject, message.data);
}
`;
    case "nats":
      return `SERVER=${connection.nats_url}
nats --server "$SERVER" --nkey ${file} --inbox-prefix ${connection.inbox_prefix} sub '${connection.subject_prefix}hello' &
nats --server "$SERVER" --nkey ${file} --inbox-prefix ${connection.inbox_prefix} pub '${connection.subject_prefix}hello' '{"n": 1}'
`;
  }
}
