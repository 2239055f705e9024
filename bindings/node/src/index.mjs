// The import side of index.js. It holds nothing of its own, so that import and require share one default
// client and one set of error classes.
import keystart from './index.js';

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
