// Requests that Node's parser gives up on: why, in AWS's words, and the answer as bytes.
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { BridgeError } from '../../kernel/errors.js';
import type { Answer } from './call.js';
import type { Connection } from './connections.js';
import { headersTooLarge } from './head.js';

export const late = (): BridgeError => new BridgeError('SerializationException', 'The request did not arrive in time.');

/** Undefined where nobody asked for anything or nobody waits for an answer: not a byte came, or the connection is broken or closed. */
export function refusalOf(error: NodeJS.ErrnoException, connection: Connection): BridgeError | undefined {
  // Node speaks of an end in the wrong place when a connection is reset.
  if (connection.socket.bytesRead === 0 || connection.isBroken) return undefined;
  if (error.code === 'HPE_HEADER_OVERFLOW') return headersTooLarge();
  if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT') return late();
  if (error.code?.startsWith('HPE_') === true)
    return new BridgeError('SerializationException', 'The request is not valid HTTP.');
  return undefined;
}

/** Writes the answer and closes the connection when it has left. */
export function writeLast(socket: Socket, { status, headers, text }: Answer, nowMs: number): void {
  let head = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n`;
  for (let i = 0; i < headers.length; i += 2) head += `${headers[i] ?? ''}: ${headers[i + 1] ?? ''}\r\n`;
  head += `Date: ${new Date(nowMs).toUTCString()}\r\nConnection: close\r\n\r\n`;
  if (socket.writable) socket.write(head + text);
  socket.destroySoon();
}
