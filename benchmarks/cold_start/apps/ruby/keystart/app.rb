# Reads three secrets while it is loaded.
require "keystart"

SECRETS = %w[s0 s1 s2].map { |name| Keystart.get(name) }

def handler(event:, context:)
  SECRETS.sum(&:length)
end
