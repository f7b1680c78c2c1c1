package mach

import "fmt"

// A Notify is a kind of notification, as the id of its message.
type Notify int32

const (
	// NotifyDeleted: a name was deleted on which a dead-name notification
	// had been requested.
	NotifyDeleted Notify = 65
	// NotifyPortDestroyed: a receive right would have been destroyed; the
	// notification carries it.
	NotifyPortDestroyed Notify = 69
	// NotifyNoSenders: no send rights are left.
	NotifyNoSenders Notify = 70
	// NotifySendOnce: a send-once right was destroyed unused.
	NotifySendOnce Notify = idSendOnce
	// NotifyDeadName: a send or send-once right became a dead name.
	NotifyDeadName Notify = 72
)

// A Notification is a decoded notification. Anybody who can send to the port
// can forge one: check Name against what was asked for.
type Notification struct {
	Kind Notify
	// Name is the name that was deleted or died. Of a dead name, the
	// notification carries one more reference: it is the receiver's, to
	// [Deallocate].
	Name Port
	// MakeSendCount, of NotifyNoSenders, is the port's count then.
	// If the server has made more send rights since, it asks again.
	MakeSendCount uint32
	// Receive, of NotifyPortDestroyed, is the receive right. It is the
	// receiver's.
	Receive Port
}

// TakeNotification decodes m. ok is false, and m unchanged, if its id is not
// a notification's.
func TakeNotification(m *Message) (n Notification, ok bool, err error) {
	n.Kind = Notify(m.ID())
	switch n.Kind {
	case NotifyDeleted, NotifyDeadName:
		n.Name = m.TakeName()
	case NotifyPortDestroyed:
		n.Receive = m.TakeReceive()
	case NotifyNoSenders:
		n.MakeSendCount = uint32(m.TakeInt32())
	case NotifySendOnce:
	default:
		return n, false, nil
	}
	return n, true, m.End()
}

// RequestNotification asks for a notification about name, once, to a
// send-once right made from the receive right notify:
// [NotifyDeadName], with sync also if it is dead already;
// [NotifyNoSenders], when the make-send count is at least sync and no send
// rights are left, which may be at once;
// [NotifyPortDestroyed], where sync is 0.
// A request displaces the one before; a notify of [Null] cancels it.
func RequestNotification(name Port, kind Notify, sync uint32, notify Port) error {
	r := begin("mach_port_request_notification", 3214)
	r.PutName(name)
	r.PutInt32(int32(kind))
	r.PutInt32(int32(sync))
	r.PutRight(notify, MakeSendOnce)
	if err := r.call(TaskSelf()); err != nil {
		return err
	}
	previous := r.TakeSendOnce()
	err := r.end()
	if previous.Valid() {
		// Not destroyed silently: its owner gets NotifySendOnce, and knows
		// that the request is gone.
		if derr := Deallocate(previous); err == nil && derr != nil {
			err = fmt.Errorf("displaced notification: %w", derr)
		}
	}
	return err
}
