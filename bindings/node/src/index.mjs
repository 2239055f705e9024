// The import side. It holds nothing of its own, so that import and require share one default client and one set of
// error classes.
import keystart from './keystart.mjs';

export default keystart;
export const {
  get,
  getBytes,
  getJson,
  secret,
  path,
  names,
  info,
  snapshot,
  tls,
  Keystart,
  KeystartError,
  InvalidName,
  InvalidOption,
  NotAttached,
  NotReady,
  PrefetchFailed,
  LayoutInsecure,
  ManifestInvalid,
  ManifestUnsupported,
  StoreUnreadable,
  SecretNotFound,
  SecretUnavailable,
  SecretCorrupt,
  SecretNotText,
  SecretNotJson,
  SnapshotExpired,
  RefreshUnavailable,
  RefreshFailed,
  Internal,
} = keystart;
