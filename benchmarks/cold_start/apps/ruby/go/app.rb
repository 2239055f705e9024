# Reads three secrets while it is loaded, from the files of the Go extension.
SECRETS = %w[s0 s1 s2].map { |name| File.read("/tmp/secrets/#{name}") }

def handler(event:, context:)
  SECRETS.sum(&:length)
end
