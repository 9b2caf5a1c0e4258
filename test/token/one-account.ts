// A client as tests have it that are about one account: its token's calls, in the clear, beside what the client itself can do.
import { systemTimers } from '../../src/kernel/timers.js';
import { connectToken, type TokenClient, type TokenClientOptions } from '../../src/token/client.js';
import { type ClearToken, inTheClear } from '../support/clear-token.js';

export type AccountToken = ClearToken & Pick<TokenClient, 'as' | 'ready' | 'down' | 'close'>;

export type AccountOptions = Omit<TokenClientOptions, 'timers'>;

export function connectAccount(options: AccountOptions): AccountToken {
  const client = connectToken({ ...options, timers: systemTimers });
  return Object.assign(inTheClear(client.as('000000000000')), {
    as: client.as.bind(client),
    ready: client.ready.bind(client),
    down: client.down.bind(client),
    close: client.close.bind(client),
  });
}
