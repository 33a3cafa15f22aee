/** Bodies and answers of `/v1/networks`. */
import { type Static, Type } from 'typebox';
import { limits, Name, Network } from '../../../store/objects.ts';
import { closed } from '../../schemas.ts';

export const NetworkBody = closed({ name: Name });

export const NetworkView = Type.Object(
  { ...Network.properties, attachments: Type.Integer({ description: 'namespaces on it, on all nodes' }) },
  { description: 'An overlay network' },
);
export type NetworkView = Static<typeof NetworkView>;

export const NetworkList = Type.Array(NetworkView, {
  maxItems: limits.networks,
  description: 'All networks, by name',
});
