/**
 * The version of the store that this node's data plane holds, kept across restarts. An agent that starts replays its
 * log from an earlier state, and must not take the kernel back to it.
 */
import fs from 'node:fs';
import path from 'node:path';

export class AppliedVersion {
  readonly #file: string;
  readonly #clusterId: string;
  #version: number;

  /** Reads what is kept in `dataDir`; of another cluster, or unreadable, it counts as nothing. */
  constructor(dataDir: string, clusterId: string) {
    this.#file = path.join(dataDir, 'applied-version.json');
    this.#clusterId = clusterId;
    this.#version = this.#read();
  }

  get value(): number {
    return this.#version;
  }

  /** Not synced: after a loss of power the kernel's maps are gone as well. */
  set value(version: number) {
    if (version === this.#version) return;
    this.#version = version;
    const draft = `${this.#file}.new`;
    fs.writeFileSync(draft, JSON.stringify({ clusterId: this.#clusterId, version }));
    fs.renameSync(draft, this.#file);
  }

  /** The data plane is gone: nothing is kept. */
  forget(): void {
    this.#version = 0;
    fs.rmSync(this.#file, { force: true });
  }

  #read(): number {
    try {
      const kept = JSON.parse(fs.readFileSync(this.#file, 'utf8')) as {
        clusterId?: unknown;
        version?: unknown;
      };
      return kept.clusterId === this.#clusterId && Number.isSafeInteger(kept.version)
        ? Number(kept.version)
        : 0;
    } catch {
      return 0;
    }
  }
}
