package coherence

// An Action is something for the caller to do. Those for one client are done in
// order, those of the store in any, unless it says otherwise. None is done while the
// object is locked by the caller's own lock: they can wait.
type Action interface{ action() }

// Return says which pages a [Lock] returns.
type Return uint8

const (
	ReturnNone  Return = iota
	ReturnDirty        // those that were changed
	ReturnAll          // those, and precious ones
)

// Forbid is what a lock forbids to do with a page.
type Forbid uint8

const (
	ForbidNothing Forbid = iota
	ForbidWrite
)

type (
	// Ready is memory_object_ready: the answer to [Object.Attach].
	Ready struct {
		Client     Client
		Attributes Attributes
	}
	// ChangeAttributes is memory_object_change_attributes. No answer is wanted.
	ChangeAttributes struct {
		Client     Client
		Attributes Attributes
	}
	// Supply is memory_object_data_supply of pages from First on. If Ack, its answer
	// (memory_object_supply_completed) must come to the port that all other messages of the
	// client come to, and goes to [Object.Supplied]; it may be done in parts, in order,
	// each of which is answered. One that cannot be done: [Object.Unsupplied]. The data stays the object's and is not used after the action is
	// done, unless it is Final: then it is the caller's, who may give the memory
	// itself away.
	Supply struct {
		Client   Client
		First    int64
		Data     []Data
		Forbid   Forbid // ForbidNothing or ForbidWrite
		Precious bool
		Final    bool
		Ack      bool
		ahead    bool
	}
	// Lock is memory_object_lock_request: a recall, or the right to write (Forbid is
	// ForbidNothing, and nothing is returned). If Reply, the answer must come to the port that
	// all other messages of the client come to, and goes to [Object.LockCompleted].
	Lock struct {
		Client Client
		Range  Range
		Return Return
		Flush  bool
		Forbid Forbid
		Reply  bool
	}
	// Fail is memory_object_data_error.
	Fail struct {
		Client Client
		Range  Range
		Err    error
	}
	// Terminate is memory_object_destroy: the object is closed, and the client is gone.
	Terminate struct{ Client Client }
	// Cut is the end of a client that does not answer: what it says is not heard any
	// more, and it is told so by memory_object_destroy, as far as it listens.
	Cut struct {
		Client Client
		Err    error
	}

	// Load asks the store for pages: [Object.Loaded]. They may be answered in parts.
	Load struct{ Range Range }
	// Store writes pages from First on to the store: [Object.Stored], which may be
	// called for parts. The data stays the object's; it does not go away before.
	Store struct {
		First int64
		Data  []Data
	}
	// Reserve asks the store to make sure that a page can be stored:
	// [Object.Reserved].
	Reserve struct{ Page int64 }
	// Discard gives data back.
	Discard struct{ Data Data }

	// Granted is the answer to [Object.Take].
	Granted struct {
		Token Token
		Err   error
	}
	// Synced is the answer to [Object.Sync].
	Synced struct {
		Token Token
		Err   error
	}
	// Closed is the answer to [Object.Close]: all is stored, as far as it can be, and
	// nobody has a page any more.
	Closed struct {
		Token Token
		Err   error
	}
)

func (Ready) action()            {}
func (ChangeAttributes) action() {}
func (Supply) action()           {}
func (Lock) action()             {}
func (Fail) action()             {}
func (Terminate) action()        {}
func (Cut) action()              {}
func (Load) action()             {}
func (Store) action()            {}
func (Reserve) action()          {}
func (Discard) action()          {}
func (Granted) action()          {}
func (Synced) action()           {}
func (Closed) action()           {}
