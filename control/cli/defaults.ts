/** What the command line and the agent must agree on without a word. */

/** Unix socket of the agent where neither `--socket` nor `SHOAL_SOCKET` names one. */
export const defaultSocketPath = '/run/shoal/shoal.sock';

/** Network that a namespace is attached to unless another is named; every cluster has it. */
export const defaultNetwork = 'mesh';
