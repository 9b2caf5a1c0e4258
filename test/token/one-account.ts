// A client as tests have it that are about one account: its token's calls beside what the client itself can do.
import type { Token } from '../../src/ports/token.js';
import { connectToken, type TokenClient, type TokenClientOptions } from '../../src/token/client.js';

export type AccountToken = Token & Pick<TokenClient, 'as' | 'ready' | 'down' | 'close'>;

export function connectAccount(options: TokenClientOptions): AccountToken {
  const client = connectToken(options);
  return Object.assign(client.as('000000000000'), {
    as: client.as.bind(client),
    ready: client.ready.bind(client),
    down: client.down.bind(client),
    close: client.close.bind(client),
  });
}
