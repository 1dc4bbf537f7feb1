package agent

// Keys of the log's attributes. One name means one thing in every line.
const (
	keyHost       = "host"       // EC2 instance id
	keyOther      = "other"      // EC2 instance id of the host that the line is about
	keyGeneration = "generation" // of the slot
	keyRelease    = "release"    // the version offered, staged or installed
	keyFrom       = "from"       // the version before
	keyReason     = "reason"     // why the host does not update, turns back or waits
	keyOutcome    = "outcome"    // how an update ended
	keyTook       = "took"       // length of the phase that ended
	keyError      = "error"
	keyHint       = "hint" // what the operator can do about it
	keyTasks      = "tasks"
	keyPath       = "path"
	keyNext       = "next" // until the next turn
)
