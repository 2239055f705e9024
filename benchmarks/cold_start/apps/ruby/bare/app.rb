# A function without secrets.

def handler(event:, context:)
  0
end
