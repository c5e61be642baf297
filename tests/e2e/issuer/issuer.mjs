// An OpenID Connect issuer. Prints its address; then does what each line of its input says, and prints what came of it.
import { createInterface } from 'node:readline';
import { OAuth2Server } from 'oauth2-mock-server';

const server = new OAuth2Server();
await server.issuer.keys.generate('RS256');
await server.start(0, '127.0.0.1');
const { port } = server.address();
const url = `http://127.0.0.1:${port}`;
server.issuer.url = url;

const actions = {
  generate: async ({ alg }) => (await server.issuer.keys.generate(alg)).kid,
  sign: ({ kid, claims }) => server.issuer.buildToken({
    kid: kid ?? undefined,
    scopesOrTransform: (_header, payload) => Object.assign(payload, { aud: 'forebay', sub: 'a producer' }, claims),
  }),
  stop: async () => { await server.stop(); return 'stopped'; },
  start: async () => { await server.start(port, '127.0.0.1'); server.issuer.url = url; return 'started'; },
};

console.log(url);
for await (const line of createInterface({ input: process.stdin })) {
  const { action, ...words } = JSON.parse(line);
  console.log(await actions[action](words));
}
process.exit(0);
