# frozen_string_literal: true

# Does with keystart/testing what each line of its input says. Its first answer is the root of the store.

require "json"
require "keystart/testing"

def read(value)
  Hash === value && value.key?("base64") ? value["base64"].unpack1("m") : value
end

$stdout.sync = true
Keystart::Testing.store do |store|
  puts JSON.generate(store.root)
  $stdin.each_line do |line|
    step, *given = JSON.parse(line)
    if step == "publish"
      secrets, unavailable = given
      puts store.publish(secrets.transform_values { |value| read(value) }, unavailable:)
    else
      store.public_send(step, *given)
      puts "null"
    end
  end
end
