// The admin port: whether the daemon lives, whether it can serve, and its figures. Reads only, no bodies, for 127.0.0.1 alone, and for those who
// know it by that name: a page in a browser on this machine comes with the name of its own site.
import type { Socket } from 'node:net';
import express, { type NextFunction, type Request, type Response } from 'express';
import { DrainableServer } from '../../kernel/drainable-server.js';
import { Strangers } from '../../kernel/strangers.js';
import type { Timers } from '../../kernel/timers.js';

/** The names of this machine to itself, with a port or without. */
const ownNames = /^(?:127\.0\.0\.1|localhost|\[::1\])(?::\d{1,5})?$/i;

const limits = { maxHeaderSize: 8_192, headersTimeout: 5_000, requestTimeout: 5_000, keepAliveTimeout: 5_000 };

/** Connections at once. */
const most = 64;

export interface Readiness {
  readonly ready: boolean;
  readonly checks: Readonly<Record<string, { readonly ok: boolean; readonly detail?: string }>>;
}

export interface AdminOptions {
  readonly ready: () => Readiness;
  /** Prometheus text format. */
  readonly metrics: () => Promise<string>;
}

/**
 * Who names another host than this machine's own hears 421. GET /health/live: 200 while the process answers. GET /health/ready: 200, or
 * 503 with the checks that fail. GET /metrics. The caller listens, on 127.0.0.1: nothing here is authenticated.
 */
export function createAdminServer({ ready, metrics }: AdminOptions, timers: Timers): DrainableServer {
  const server = new DrainableServer(limits, timers);
  const connections = new Strangers<Socket>({ all: most, ofSource: most });
  // The oldest goes for a newer one: who holds all of them open must not keep a monitor out, to whom the daemon would seem dead.
  server.on('connection', (socket) => {
    const { oldest } = connections;
    if (oldest !== undefined && connections.isFull) {
      connections.delete(oldest);
      oldest.destroy();
    }
    connections.add(socket, undefined);
    socket.once('close', () => connections.delete(socket));
  });
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.use(ownNameOnly);
  app.use(readsOnly);
  app.get('/health/live', (_request, response) => void response.json({ live: true }));
  app.get('/health/ready', (_request, response) => {
    const state = ready();
    response.status(state.ready ? 200 : 503).json(state);
  });
  // The only answer that is not given at once.
  app.get('/metrics', async (request, response) => {
    if (!server.begin(request, response)) return;
    try {
      response.type('text/plain; version=0.0.4; charset=utf-8').send(await metrics());
    } finally {
      server.end(request, response);
    }
  });
  app.use((_request: Request, response: Response) => void response.status(404).json({ message: 'not found' }));
  app.use(failed);
  server.on('request', app);
  return server;
}

/** 421 (RFC 9110, 15.5.20). A target with an authority of its own would replace Host. */
function ownNameOnly(request: Request, response: Response, next: NextFunction): void {
  if (ownNames.test(request.headers.host ?? '') && request.url.startsWith('/')) next();
  else
    response.set('connection', 'close').status(421).json({ message: 'this port answers to 127.0.0.1 and localhost' });
}

function readsOnly(request: Request, response: Response, next: NextFunction): void {
  response.set('cache-control', 'no-store');
  const hasBody =
    request.headers['transfer-encoding'] !== undefined || Number(request.headers['content-length'] ?? 0) > 0;
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.set('allow', 'GET, HEAD').set('connection', 'close').status(405).json({ message: 'method not allowed' });
  } else if (hasBody) {
    response.set('connection', 'close').status(413).json({ message: 'no body is taken here' });
  } else {
    next();
  }
}

/** express's own handler would show the stack. It tells error handlers by their four parameters. */
function failed(_error: unknown, _request: Request, response: Response, next: NextFunction): void {
  if (response.headersSent) next(_error);
  else response.status(500).json({ message: 'internal error' });
}
