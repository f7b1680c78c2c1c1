package coherence

// An Object is a memory object. It is not safe for concurrent use: the caller has a
// lock for it, takes [Object.Actions] under that lock, and does them without, in an order
// that keeps those for one client in order.
type Object struct {
	config  Config
	actions []Action
}

// New makes an object that nobody uses.
func New(c Config) *Object { return &Object{config: c} }

// Actions returns what is to be done, and forgets it.
func (o *Object) Actions() []Action {
	a := o.actions
	o.actions = nil
	return a
}

// Attach is memory_object_init: somebody begins to use the object. If readOnly,
// the port by which it came is for reading only, and nothing that it says can change
// a page (S2). The error is ErrLimit or ErrClosed: then there is no client.
func (o *Object) Attach(readOnly bool) (Client, error) { panic("not yet") }

// Gone is memory_object_terminate, or the death of the control port. What was changed
// and not returned is lost.
func (o *Object) Gone(c Client) {}

// Request is memory_object_data_request. It is answered once: by a Supply or a Fail.
func (o *Object) Request(c Client, r Range, want Access) {}

// Unlock is memory_object_data_unlock.
func (o *Object) Unlock(c Client, r Range, want Access) {}

// Returned is memory_object_data_return of pages from first on. Kept says that the
// kernel still has them. The data is the object's, whatever it thinks of it.
func (o *Object) Returned(c Client, first int64, data []Data, dirty, kept bool) {}

// LockCompleted is memory_object_lock_completed.
func (o *Object) LockCompleted(c Client, r Range) {}

// Loaded is the answer to a Load, or to a part of it: data of N pages, or an error for
// all of them. Data that nobody has asked for is discarded.
func (o *Object) Loaded(r Range, data []Data, err error) {}

// Stored is the answer to a Store, or to a part of it.
func (o *Object) Stored(r Range, err error) {}

// Reserved is the answer to Reserve.
func (o *Object) Reserved(page int64, err error) {}

// Tick says what time it is. What has become due is done.
func (o *Object) Tick(now Tick) {}

// Next returns when Tick is to be called at the latest. If there is nothing to wait for,
// ok is false. It is asked again after each call.
func (o *Object) Next() (at Tick, ok bool) { return 0, false }

// Sync has all that was changed in a range until now stored: Synced. Clients keep what
// they have.
func (o *Object) Sync(token Token, r Range) {}

// Take has the pages of a range for the caller, who wants to read or write the store
// itself: Granted. With it, for Read, the store has all that was changed, and nobody
// may write to the pages; for Write, nobody has them. Until [Object.Release] requests of
// clients for them wait, as far as they are in the way. A range may go beyond the end.
func (o *Object) Take(token Token, r Range, want Access) {}

// Release undoes Take, also before it was granted (then nothing is Granted).
func (o *Object) Release(token Token) {}

// Resize says how many pages there are now. Those that are beyond are taken from
// everybody, and what is in them is lost; it need not be waited for.
func (o *Object) Resize(pages int64) {}

// SetAttributes changes what clients are told, those there are and those to come.
func (o *Object) SetAttributes(a Attributes) {}

// Close ends the use of the object: pages are called back and stored, then clients are
// told: Terminate for each, and Closed. From now on nobody can attach, and requests
// fail.
func (o *Object) Close(token Token) {}

// Idle reports whether there are no clients, and nothing is to be done or waited for:
// the object can be forgotten.
func (o *Object) Idle() bool { return true }
