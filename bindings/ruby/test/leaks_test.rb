# frozen_string_literal: true

require "objspace"
require "support"

# A function lives for hours and sees many rotations: the values it read before must not pile up.
class LeaksTest < KeystartTest
  GENERATIONS = 1000
  READS = 100
  # By then caches are full, and the heap has grown as much as it needs.
  WARM = 200
  Used = Struct.new(:objects, :bytes, :descriptors)

  def test_many_reads_over_many_generations_leak_neither_memory_nor_descriptors
    # A generation that is kept is noticed: all of them would be 16 MB.
    value = "x" * 16_384
    before = nil
    (1..GENERATIONS).each do |number|
      @store.publish(number, { "db" => value, "key" => number.to_s })
      @store.collect(number - 2) if number > 2
      read
      before = used if number == WARM
    end
    after = used
    assert_equal GENERATIONS.to_s, @client.get("key")
    assert_equal before.descriptors, after.descriptors
    assert_operator after.objects, :<, before.objects * 1.1
    assert_operator after.bytes, :<, before.bytes * 1.1
  end

  private

  def read
    (READS / 4).times do
      @client.get("db")
      @client.bytes("db")
      @client.secret("key")
      @client.snapshot.get("key")
    end
  end

  def used
    GC.start
    # Not the pages of the process: the memory that its allocator keeps from other tests varies.
    Used.new(GC.stat(:heap_live_slots), ObjectSpace.memsize_of_all,
             Dir.children("/dev/fd").length)
  end
end
