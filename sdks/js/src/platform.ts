// What this runs on, as far as a device has to know.

/** Whether this is a page or a worker, where there are no sockets but those of WebSocket. */
export function inBrowser(): boolean {
  const scope = globalThis as { document?: unknown; WorkerGlobalScope?: unknown; process?: { versions?: { node?: string } } };
  return scope.process?.versions?.node === undefined && (scope.document !== undefined || scope.WorkerGlobalScope !== undefined);
}
