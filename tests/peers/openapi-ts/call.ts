// A binding by a client whose types are generated: made, read, and one that is refused.
import createClient from "openapi-fetch";
import type { components, paths } from "./api";

declare const process: { env: Record<string, string>; exitCode: number };

type Binding = components["schemas"]["Binding"];
type Code = components["schemas"]["Problem"]["code"];

const client = createClient<paths>({
  baseUrl: process.env["QIBAI_URL"]!,
  headers: { Authorization: `Bearer ${process.env["QIBAI_KEY"]}` },
});

async function main(): Promise<void> {
  const body = { mode: "AXYB", a: "+8613800138001", b: "+8613900139002", order_id: "typed" } as const;
  const made = await client.POST("/v1/bindings", { body, params: { header: { "Idempotency-Key": "typed-1" } } });
  if (made.data === undefined) throw new Error(JSON.stringify(made.error));
  const binding: Binding = made.data;
  const read = await client.GET("/v1/bindings/{id}", { params: { path: { id: binding.id } } });
  if (read.data?.x !== binding.x || read.data.status !== "active") throw new Error(JSON.stringify(read));
  const refused = await client.POST("/v1/bindings", { body: { ...body, a: "123" } });
  const expected: Code = "number_malformed";
  if (refused.error?.code !== expected) throw new Error(JSON.stringify(refused));
  console.log(binding.id);
}

main().catch((reason: unknown) => {
  console.error(reason);
  process.exitCode = 1;
});
