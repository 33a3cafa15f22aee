/** Groups of the system, by name. Node has no getgrnam(3). */
import { readFileSync } from 'node:fs';

/** The id that `group` (a name or a number) has in the text of a group file (group(5)); undefined if none. Pure. */
export function groupIdFrom(text: string, group: string): number | undefined {
  if (/^\d{1,10}$/.test(group)) return Number(group);
  for (const line of text.split('\n')) {
    const [name, , id] = line.split(':');
    if (name === group && id !== undefined && /^\d+$/.test(id)) return Number(id);
  }
  return undefined;
}

/** The id of a group of this machine. Throws when there is none of that name. */
export function groupId(group: string, file = '/etc/group'): number {
  const id = groupIdFrom(/^\d+$/.test(group) ? '' : readFileSync(file, 'utf8'), group);
  if (id === undefined) {
    throw new Error(`socket group "${group}": there is no such group in ${file}; make it with groupadd`);
  }
  return id;
}
