// Requests that Node's parser gives up on: why, in AWS's words, and the answer as bytes.
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { BridgeError } from '../../kernel/errors.js';
import type { Answer } from './call.js';

/** Undefined where nobody asked for anything or nobody waits for an answer: not a byte came, or the connection is broken or closed. */
export function refusalOf(error: NodeJS.ErrnoException, socket: Socket): BridgeError | undefined {
  if (socket.bytesRead === 0 || !socket.writable || wasReset(socket)) return undefined;
  if (error.code === 'HPE_HEADER_OVERFLOW')
    return new BridgeError('RequestEntityTooLargeException', 'The headers of the request are larger than 16 KiB.');
  if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT')
    return new BridgeError('SerializationException', 'The request did not arrive in time.');
  if (error.code?.startsWith('HPE_') === true)
    return new BridgeError('SerializationException', 'The request is not valid HTTP.');
  return undefined;
}

/** Such a connection has no peer any more, though Node speaks of an end in the wrong place. On a UNIX socket neither end has an address. */
const wasReset = ({ remoteAddress, localAddress }: Socket): boolean =>
  remoteAddress === undefined && localAddress !== undefined;

/** Writes the answer and closes the connection when it has left. */
export function writeLast(socket: Socket, { status, headers, text }: Answer): void {
  let head = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n`;
  for (let i = 0; i < headers.length; i += 2) head += `${headers[i] ?? ''}: ${headers[i + 1] ?? ''}\r\n`;
  head += `Date: ${new Date().toUTCString()}\r\nConnection: close\r\n\r\n`;
  if (socket.writable) socket.write(head + text);
  socket.destroySoon();
}
