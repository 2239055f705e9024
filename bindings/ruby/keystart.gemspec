# frozen_string_literal: true

require_relative "lib/keystart/version"

Gem::Specification.new do |spec|
  spec.name = "keystart"
  spec.version = Keystart::VERSION
  spec.authors = ["The Keystart authors"]
  spec.summary = "Reads the secrets that the Keystart extension for AWS Lambda has prefetched."
  spec.description = "The Keystart extension fetches secrets beside the start of a function and publishes them " \
                     "under /tmp. This reader returns them to Ruby. It has no dependency."
  spec.license = "Apache-2.0"
  spec.required_ruby_version = ">= 3.1"
  spec.files = Dir.glob(%w[lib/**/*.rb sig/*.rbs LICENSE README.md], base: __dir__).sort
  spec.metadata = { "rubygems_mfa_required" => "true" }
end
