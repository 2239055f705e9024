# frozen_string_literal: true

# The file that `require "keystart"` finds in the layer. On Lambda's load path /opt/ruby/lib comes
# before every gem, even before those of the function's package. So the reader lies next to it, and
# loads only if no gem has that name.

if defined?(Gem) && Gem::Specification.stubs_for("keystart").any?
  gem "keystart"
  folder = Gem.loaded_specs["keystart"].full_require_paths.first
else
  folder = File.expand_path("../keystart/lib", __dir__)
  $LOAD_PATH << folder
end
require "#{folder}/keystart"
