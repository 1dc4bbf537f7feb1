// Runs dynalite, a stand-in for DynamoDB, on a free loopback port. Prints the
// port when it is ready, and ends when its standard input closes, so that it
// cannot outlive the test that started it.
const dynalite = require('dynalite')

const server = dynalite({ createTableMs: 0, updateTableMs: 0, deleteTableMs: 0 })
server.listen(0, '127.0.0.1', () => console.log(server.address().port))
process.stdin.on('end', () => process.exit(0)).resume()
