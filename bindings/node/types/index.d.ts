import * as keystart from './api.js';

export = keystart;
