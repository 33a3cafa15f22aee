import t from 'tap';
import { createRoot } from '../../../control/pki/root.ts';
import { createSecret, formatToken, parseToken, rootDigest, sameSecret } from '../../../control/pki/token.ts';

t.test('a token tells the root and the secret', async (t) => {
  const root = await createRoot('cluster-0001', Date.now());
  const secret = createSecret();
  const token = formatToken(root.certificate, secret);
  t.match(token, /^SHTKN-1-[0-9a-z]{50}-[0-9a-z]{25}$/);
  t.strictSame(parseToken(` ${token}\n`), { rootDigest: rootDigest(root.certificate), secret });
  const other = await createRoot('cluster-0001', Date.now());
  t.not(rootDigest(other.certificate), rootDigest(root.certificate));
  t.not(createSecret(), secret);
});

t.test('what is not a token is refused without telling it again', async (t) => {
  for (const bad of [
    '',
    'SHTKN-1',
    `SHTKN-2-${'a'.repeat(50)}-${'b'.repeat(25)}`,
    `SHTKN-1-${'A'.repeat(50)}-${'b'.repeat(25)}`,
  ]) {
    t.throws(() => parseToken(bad), { code: 'INVALID_TOKEN' });
  }
  t.equal(sameSecret('abc', 'abc'), true);
  t.equal(sameSecret('abc', 'abd'), false);
  t.equal(sameSecret('abc', 'abcd'), false);
});
