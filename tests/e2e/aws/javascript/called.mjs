// Clients that note what the server has answered well, and the checks that the scripts share.
import assert from "node:assert/strict";

const called = new Set();

/** A client of `Client` for the endpoint of the first argument, which tries nothing twice. */
export function connect(Client, service, more = {}) {
  const client = new Client({ endpoint: process.argv[2], maxAttempts: 1, ...more });
  client.middlewareStack.add(
    (next, context) => async (request) => {
      const answer = await next(request);
      called.add(`${service}:${context.commandName.replace(/Command$/, "")}`);
      return answer;
    },
    { step: "initialize" },
  );
  return client;
}

/** Says which operations were called. The last line that a script prints. */
export function report() {
  console.log(`called ${[...called].sort().join(" ")}`);
}

/** The message of the refusal, which the SDK knows as `type`. */
export async function refused(client, type, command, wanted = /./) {
  const error = await client.send(command).then(
    () => assert.fail(`${type.name ?? type} expected`),
    (error) => error,
  );
  if (typeof type === "string") {
    assert.equal(error.name, type, error);
  } else {
    assert.ok(error instanceof type, `${error.name}: ${error.message}`);
  }
  assert.equal(error.$fault, "client", error);
  assert.match(error.message, wanted);
  assert.ok(error.$metadata.requestId, error);
  return error;
}
