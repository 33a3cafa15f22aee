/** The API's description of itself: OpenAPI 3.1 from the routes' own schemas, and a page that shows it. */
import swagger from '@fastify/swagger';
import { Type } from 'typebox';
import { type Api, ErrorBody } from './schemas.ts';

/** Registers the collection of schemas. Must come before the routes. */
export async function collectSchemas(app: Api): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'shoal',
        version: '1',
        description:
          'The API of a shoal agent: on its Unix socket, and on the control port for other nodes (mutual TLS).',
      },
    },
  });
}

const page = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>shoal API</title>
<style>
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #123; }
  h2 { margin-top: 2rem; text-transform: capitalize; }
  summary { cursor: pointer; padding: .3rem 0; }
  code, pre { font-family: ui-monospace, monospace; font-size: .9rem; }
  pre { background: #f3f6f8; padding: .8rem; overflow: auto; border-radius: 4px; }
  .method { display: inline-block; min-width: 4.5rem; font-weight: 600; color: #06c; }
</style>
<h1>shoal API</h1>
<p>The same as <a href="/openapi.json">openapi.json</a>, for reading.</p>
<main>Loading…</main>
<script type="module">
  const main = document.querySelector('main');
  const add = (parent, name, text) => {
    const element = document.createElement(name);
    if (text !== undefined) element.textContent = text;
    parent.append(element);
    return element;
  };
  const description = await (await fetch('/openapi.json')).json();
  main.textContent = '';
  const groups = {};
  for (const [path, methods] of Object.entries(description.paths)) {
    for (const [method, route] of Object.entries(methods)) {
      (groups[route.tags?.[0] ?? 'other'] ??= []).push({ path, method, route });
    }
  }
  for (const [tag, routes] of Object.entries(groups)) {
    add(main, 'h2', tag);
    for (const { path, method, route } of routes) {
      const details = add(main, 'details');
      const summary = add(details, 'summary');
      add(summary, 'span', method.toUpperCase()).className = 'method';
      add(summary, 'code', path);
      summary.append(' ' + route.summary);
      const parts = {
        Parameters: route.parameters,
        Body: route.requestBody?.content['application/json']?.schema,
        Answer: route.responses['200']?.content?.['application/json']?.schema,
      };
      for (const [title, schema] of Object.entries(parts)) {
        if (schema === undefined) continue;
        add(details, 'h4', title);
        add(details, 'pre', JSON.stringify(schema, null, 2));
      }
    }
  }
</script>
</html>
`;

/** `/openapi.json` and `/docs`. */
export function documentationRoutes(app: Api): void {
  const tags = ['documentation'];
  app.get(
    '/openapi.json',
    {
      config: { access: 'node' },
      schema: {
        summary: 'This description, as OpenAPI 3.1',
        tags,
        response: {
          200: Type.Object({}, { additionalProperties: true, description: 'OpenAPI 3.1' }),
          '4xx': ErrorBody,
          '5xx': ErrorBody,
        },
      },
    },
    async (_request, reply) => {
      // The description has schemas of every shape in it: no schema of its own says more than JSON does.
      reply.serializer(JSON.stringify);
      return app.swagger();
    },
  );
  app.get(
    '/docs',
    {
      config: { access: 'node' },
      schema: {
        summary: 'A page for people',
        tags,
        response: { 200: Type.String({ description: 'HTML' }), '4xx': ErrorBody, '5xx': ErrorBody },
      },
    },
    async (_request, reply) => {
      reply
        .header('content-type', 'text/html; charset=utf-8')
        // Nothing but the page itself: no script from elsewhere, no framing.
        .header(
          'content-security-policy',
          "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; frame-ancestors 'none'",
        )
        .serializer((value: unknown) => String(value));
      return page;
    },
  );
}
