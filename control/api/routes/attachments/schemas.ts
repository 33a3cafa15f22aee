/** Bodies and answers of `/v1/attachments`. */
import { type Static, Type } from 'typebox';
import { Attachment } from '../../../store/objects.ts';
import { closed, Port, Ref } from '../../schemas.ts';

/** Largest process id (PID_MAX_LIMIT of 64-bit kernels). */
export const largestPid = 4_194_304;

const NetnsPath = Type.String({
  pattern: '^/[^\\u0000]*$',
  maxLength: 1_024,
  description: 'path that opens the namespace on this node',
});

export const AttachmentBody = closed({
  netns: Type.Optional(NetnsPath),
  pid: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: largestPid,
      description: 'a process in the namespace; instead of netns',
    }),
  ),
  network: Type.Optional(Ref),
  service: Type.Optional(Ref),
  port: Type.Optional(Port),
});
export type AttachmentBody = Static<typeof AttachmentBody>;

/** An attachment is also found by its path, which a URL carries percent-encoded. */
export const AttachmentParams = closed({ ref: Type.String({ minLength: 1, maxLength: 1_024 }) });

export const AttachmentView = Type.Object(
  {
    ...Attachment.properties,
    node: Type.String({ description: 'name of its node' }),
    network: Type.String({ description: 'name of its network' }),
    service: Type.Union([Type.String(), Type.Null()], { description: 'name of the service that it serves' }),
    port: Type.Union([Port, Type.Null()], { description: 'port that it serves on' }),
  },
  { description: 'A namespace on a network' },
);
export type AttachmentView = Static<typeof AttachmentView>;

export const AttachmentList = Type.Array(AttachmentView, { description: 'All attachments, oldest first' });
