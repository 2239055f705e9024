# frozen_string_literal: true

# What `require "keystart"` finds in the layer. Lambda has /opt/ruby/lib before every gem on the load path, also before
# those of the function's package. So the reader itself lies beside it, and comes only where no gem has that name.

if defined?(Gem) && Gem::Specification.stubs_for("keystart").any?
  gem "keystart"
  folder = Gem.loaded_specs["keystart"].full_require_paths.first
else
  folder = File.expand_path("../keystart/lib", __dir__)
  $LOAD_PATH << folder
end
require "#{folder}/keystart"
