/**
 * The agent's HTTP API. The same app is made twice: for the Unix socket, where whoever can open it may do
 * everything, and for the control port, where every caller is a node that mutual TLS has named.
 */
import { fastify, LogController } from 'fastify';
import type { Logger } from 'pino';
import { guardRoutes, type PeerOf, peerOfSocket, type Surface } from './access.ts';
import { collectSchemas, documentationRoutes } from './documentation.ts';
import { answerError, answerMalformed, answerNotFound } from './failures.ts';
import { apiLimits } from './limits.ts';
import { attachmentRoutes } from './routes/attachments/routes.ts';
import { clusterRoutes } from './routes/cluster/routes.ts';
import { dataplaneRoutes } from './routes/dataplane/routes.ts';
import { joinTokenRoutes } from './routes/join-tokens/routes.ts';
import { networkRoutes } from './routes/networks/routes.ts';
import { nodeRoutes } from './routes/nodes/routes.ts';
import { serviceRoutes } from './routes/services/routes.ts';
import { statusRoutes } from './routes/status/routes.ts';
import type { Api } from './schemas.ts';
import type { AgentServices } from './services.ts';
import { validatorCompiler } from './validation.ts';

/** How an app is made. */
export type AppOptions = {
  services: AgentServices;
  surface: Surface;
  log?: Logger;
  /** Time within which most requests are answered; that of the limits unless given. */
  handlerTime_ms?: number;
  /** Where the peer of a `remote` request is read from; its socket unless given. */
  peerOf?: PeerOf;
};

/**
 * The app with all its routes, ready to serve: `app.routing` handles a request that arrived elsewhere (the control
 * port), and `listenOnSocket` (socket.ts) opens the Unix socket. Close it with `app.close()`.
 */
export async function buildApp(options: AppOptions): Promise<Api> {
  const { services, surface } = options;
  const app = fastify({
    ...(options.log === undefined ? { logger: false } : { loggerInstance: options.log }),
    // A line per request would drown what matters; failures are logged where they are answered.
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: apiLimits.bodySize_bytes,
    requestTimeout: apiLimits.requestTime_ms,
    connectionTimeout: 0,
    handlerTimeout: options.handlerTime_ms ?? apiLimits.handlerTime_ms,
    exposeHeadRoutes: false,
    frameworkErrors: answerError,
    clientErrorHandler: answerMalformed,
    // A path of an attached namespace, percent-encoded, is the longest parameter.
    routerOptions: { maxParamLength: 3 * 1_024 },
  }) as unknown as Api;
  app.removeContentTypeParser('text/plain');
  app.setValidatorCompiler(validatorCompiler);
  app.setErrorHandler(answerError);
  app.setNotFoundHandler(answerNotFound);
  closeInTime(app);
  guardRoutes(app, surface, options.peerOf ?? peerOfSocket);
  await collectSchemas(app);
  statusRoutes(app, services);
  clusterRoutes(app, services);
  joinTokenRoutes(app, services);
  nodeRoutes(app, services);
  networkRoutes(app, services);
  serviceRoutes(app, services);
  attachmentRoutes(app, services);
  dataplaneRoutes(app, services);
  documentationRoutes(app);
  await app.ready();
  return app;
}

/** Lets requests that are under way end when the app closes, and cuts those that do not in time. */
function closeInTime(app: Api): void {
  app.addHook('preClose', async () => {
    setTimeout(() => app.server.closeAllConnections(), apiLimits.closingTime_ms).unref();
  });
}
