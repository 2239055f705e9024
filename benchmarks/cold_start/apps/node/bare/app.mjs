// A function without secrets.
export const handler = async () => 0;
