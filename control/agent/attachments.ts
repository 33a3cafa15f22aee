/** `shoal attach` and `detach`: a namespace of this node onto an overlay network, and off it. */
import fs from 'node:fs';
import { netns } from 'netlink-ts';
import { newId } from '../api/ids.ts';
import type { AttachRequest } from '../api/services.ts';
import type { ClusterFacade } from '../cluster/types.ts';
import { shoalError } from '../errors.ts';
import type { Attachment } from '../store/objects.ts';
import type { Member } from './member.ts';

/** Longest wait for this node's data plane after a change was committed. */
const applyTime_ms = 10_000;

/** File system that namespaces are files of: NSFS_MAGIC of linux/magic.h. */
const namespaceFileSystem = 0x6e736673;

/**
 * Attaches the namespace at `request.netns` and waits until it can be reached. Nothing stays when that fails.
 * Throws BAD_REQUEST if the path opens no network namespace or the namespace is attached already.
 */
export async function attach(
  cluster: ClusterFacade,
  member: Member,
  nodeId: string,
  request: AttachRequest,
): Promise<Attachment> {
  checkNamespace(cluster, nodeId, request.netns);
  const attachment = (await cluster.propose({
    type: 'attachment.create',
    id: newId(),
    nodeId,
    network: request.network,
    netns: request.netns,
    ...(request.service === undefined ? {} : { service: request.service }),
    ...(request.port === undefined ? {} : { port: request.port }),
    endpointId: newId(),
    at_ms: Date.now(),
  })) as Attachment;
  try {
    await member.applied(attachment.version, AbortSignal.timeout(applyTime_ms));
    const failure = member.dataplane.attachmentFailures.find((one) => one.attachment.id === attachment.id);
    if (failure !== undefined) {
      throw shoalError('BAD_REQUEST', {
        reason: `${request.netns} could not be attached: ${failure.reason}`,
      });
    }
  } catch (error) {
    await cluster.propose({ type: 'attachment.remove', id: attachment.id });
    throw error;
  }
  return attachment;
}

/** Detaches by attachment id, and waits until the devices are gone. */
export async function detach(cluster: ClusterFacade, member: Member, id: string): Promise<void> {
  await cluster.propose({ type: 'attachment.remove', id });
  await member.applied(cluster.state.version, AbortSignal.timeout(applyTime_ms));
}

function checkNamespace(cluster: ClusterFacade, nodeId: string, path: string): void {
  let inode: number;
  try {
    using _namespace = netns.open(path);
    if (fs.statfsSync(path).type !== namespaceFileSystem) throw new Error('it is another kind of file');
    inode = fs.statSync(path).ino;
  } catch (error) {
    throw shoalError('BAD_REQUEST', { reason: whyNotOpened(path, error as NodeJS.ErrnoException) });
  }
  if (inode === fs.statSync('/proc/self/ns/net').ino) {
    throw shoalError('BAD_REQUEST', {
      reason: `${path} is the node's own network namespace, which is on the mesh already: name another one's`,
    });
  }
  for (const other of cluster.state.list('attachment')) {
    if (other.nodeId !== nodeId) continue;
    const same = other.netns === path || fs.statSync(other.netns, { throwIfNoEntry: false })?.ino === inode;
    if (same)
      throw shoalError('BAD_REQUEST', { reason: `${path} is attached already, with ${other.address}` });
  }
}

function whyNotOpened(path: string, error: NodeJS.ErrnoException): string {
  const pid = /^\/proc\/(\d+)\/ns\/net$/.exec(path)?.[1];
  if (pid !== undefined && !fs.existsSync(`/proc/${pid}`)) return `there is no process ${pid}`;
  if (error.code === 'ENOENT')
    return `there is no network namespace ${path}; ip netns lists those with a name`;
  return `${path} is not a network namespace that can be opened: ${error.message}`;
}
