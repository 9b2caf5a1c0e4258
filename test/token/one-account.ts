// A client as tests have it that are about one account: its token's calls beside what the client itself can do.
import { systemTimers } from '../../src/kernel/timers.js';
import type { Token } from '../../src/ports/token.js';
import { connectToken, type TokenClient, type TokenClientOptions } from '../../src/token/client.js';

export type AccountToken = Token & Pick<TokenClient, 'as' | 'ready' | 'down' | 'close'>;

export type AccountOptions = Omit<TokenClientOptions, 'timers'>;

export function connectAccount(options: AccountOptions): AccountToken {
  const client = connectToken({ ...options, timers: systemTimers });
  return Object.assign(client.as('000000000000'), {
    as: client.as.bind(client),
    ready: client.ready.bind(client),
    down: client.down.bind(client),
    close: client.close.bind(client),
  });
}
