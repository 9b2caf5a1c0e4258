// The headers of a request, bounded in number and in bytes before anything in them is looked at. Node drops what is past its own limit, and
// does not count everything: so its limit lies just above ours, and a request that reaches it is refused.
import type { IncomingMessage } from 'node:http';
import { BridgeError } from '../../kernel/errors.js';

/** AWS's clients send under 40. */
export const mostHeaders = 64;
/** Request line and headers. Names and values of a part of the message are what Node counts. */
export const mostHeaderBytes = 16_384;
/** Around a name and its value: a colon, a blank, the end of the line. */
const bytesAround = 4;
/** What Node reads at once: the end of the headers and the first of a body come together. */
const readBytes = 65_536;

export const headersTooLarge = (): BridgeError =>
  new BridgeError('RequestEntityTooLargeException', 'The headers of the request are larger than 16 KiB.');

/** Undefined where the headers are within the limits. `isFirst`: nothing else came over this connection. */
export function headRefusal(request: IncomingMessage, isFirst: boolean): BridgeError | undefined {
  const { rawHeaders, url = '' } = request;
  if (rawHeaders.length > 2 * mostHeaders)
    return new BridgeError('RequestEntityTooLargeException', `The request has more than ${mostHeaders} headers.`);
  let bytes = url.length + (rawHeaders.length / 2) * bytesAround;
  for (const text of rawHeaders) bytes += text.length;
  // Blanks and empty lines, of which nothing is kept, are seen on the wire only.
  const isPadded = isFirst && request.socket.bytesRead > mostHeaderBytes + readBytes;
  return bytes > mostHeaderBytes || isPadded ? headersTooLarge() : undefined;
}
