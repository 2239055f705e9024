# frozen_string_literal: true

# Runs every test: ruby -w -Ilib -Itest test/all.rb

Dir[File.join(__dir__, "*_test.rb")].each { |file| require file }
