/** What `/v1/join-tokens` takes and answers. */
import { type Static, Type } from 'typebox';
import { Role } from '../../../store/objects.ts';
import { closed } from '../../schemas.ts';

export const RoleParams = closed({ role: Role });

export const JoinToken = Type.Object(
  {
    token: Type.String({ description: 'a secret: whoever has it can enter' }),
    command: Type.String({ description: 'what to run on the node that is to enter' }),
  },
  { description: 'A join token' },
);
export type JoinToken = Static<typeof JoinToken>;
