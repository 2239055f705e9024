import * as keystart from './api.js';

export * from './api.js';
export default keystart;
