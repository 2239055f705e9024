# frozen_string_literal: true

module Keystart
  VERSION = "0.1.0"
end
