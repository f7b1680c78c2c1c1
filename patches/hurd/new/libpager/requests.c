/* The threads: one a bucket that receives messages, some that work, and a clock.

   Copyright 2026 The hurdlab authors
   SPDX-License-Identifier: GPL-2.0-or-later  */

#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <mach/mig_errors.h>
#include <mach/notify.h>

#include "priv.h"
#include "memory_object_S.h"
#include "pager_info_S.h"
#include "libports/notify_S.h"

/* At first, and when so many wait: for a store, or for a kernel that has a page wired.  */
#define WORKERS 10
#define MAX_WORKERS 40

struct pager_requests
{
  struct port_bucket *bucket;
  /* The ports for reading are not in that of the user's, who takes everything in it for a
     pager.  A thread of their own receives for them.  */
  struct port_bucket *readonly;
  struct pager_requests *next;
  pthread_mutex_t lock;
  pthread_cond_t work;		/* there is some */
  pthread_cond_t quiet;		/* there is none, and nobody works */
  struct task *head, **tail;
  struct task *held, **held_tail;	/* for when work goes on */
  int inhibited;
  int busy;			/* workers that work */
  int workers;
};

static pthread_mutex_t all_lock = PTHREAD_MUTEX_INITIALIZER;
static struct pager_requests *all;

struct pager_requests *
_pager_requests_of (struct port_bucket *bucket)
{
  pthread_mutex_lock (&all_lock);
  struct pager_requests *r = all;
  while (r && r->bucket != bucket)
    r = r->next;
  pthread_mutex_unlock (&all_lock);
  return r;
}

struct port_bucket *
_pager_readonly_bucket (struct pager *p)
{
  struct pager_requests *r = p->requests ? p->requests : _pager_requests_of (p->port.bucket);
  if (! r)
    errno = EAGAIN;		/* there is nobody yet who would hear of it */
  return r ? r->readonly : 0;
}

static void *worker (void *arg);

static error_t
begin_thread (void *(*f) (void *), void *arg)
{
  pthread_t t;
  error_t err = pthread_create (&t, 0, f, arg);
  if (! err)
    pthread_detach (t);
  return err;
}

/* Has a worker do something for P, whose reference it gets.  The lock is held.  */
static void
add_task (struct pager_requests *r, struct pager *p, enum task_kind kind)
{
  struct task *t = &p->tasks[kind].task;
  if (t->queued)
    {
      ports_port_deref (p);	/* which is not the last: the task has one */
      return;
    }
  t->queued = 1;
  t->next = 0;
  if (r->inhibited)
    {
      *r->held_tail = t;
      r->held_tail = &t->next;
    }
  else
    {
      *r->tail = t;
      r->tail = &t->next;
      pthread_cond_signal (&r->work);
    }
}

/* Has a worker look after P, whose lock is held.  */
void
_pager_schedule (struct pager *p, enum task_kind kind)
{
  struct pager_requests *r = p->requests;
  if (! r)
    r = p->requests = _pager_requests_of (p->port.bucket);
  if (! r)
    return;			/* it will be when something happens and there are workers */
  ports_port_ref (p);		/* the task's */
  pthread_mutex_lock (&r->lock);
  add_task (r, p, kind);
  pthread_mutex_unlock (&r->lock);
}

static void *
worker (void *arg)
{
  struct pager_requests *r = arg;
  pthread_mutex_lock (&r->lock);
  for (;;)
    {
      while (! r->head)
	pthread_cond_wait (&r->work, &r->lock);
      struct task *t = r->head;
      r->head = t->next;
      if (! r->head)
	r->tail = &r->head;
      t->queued = 0;
      int last = ++r->busy == r->workers && r->workers < MAX_WORKERS;
      r->workers += last;
      pthread_mutex_unlock (&r->lock);

      /* Who comes next finds somebody, if that can be.  */
      if (last && begin_thread (worker, r))
	{
	  pthread_mutex_lock (&r->lock);
	  r->workers--;
	  pthread_mutex_unlock (&r->lock);
	}
      t->run (t);

      pthread_mutex_lock (&r->lock);
      if (--r->busy == 0 && ! r->head)
	pthread_cond_broadcast (&r->quiet);
    }
  return 0;
}

/* A message for a pager.  It has a reference to the port that it has come by, and so to the
   pager.  */
struct incoming
{
  struct incoming *next;
  struct entrance *by;
  mig_routine_t routine;	/* or null, for notices, and for nonsense */
  mach_msg_header_t message[];
};

/* A notice that a kernel is dead.  Anybody could send such a message: it is believed if the
   name is dead.  (Whether it has come by a send-once right cannot be seen: libports has
   put the payload where that was.)  */
static void
dead_name (struct entrance *by, const mach_msg_header_t *in)
{
  mach_port_t name = ((const mach_dead_name_notification_t *) in)->not_port;
  mach_port_type_t type;
  if (in->msgh_size >= sizeof (mach_dead_name_notification_t)
      && mach_port_type (mach_task_self (), name, &type) == 0
      && (type & MACH_PORT_TYPE_DEAD_NAME))
    _pager_dead_name (by, name);
}

/* A notice that nobody has a right any more.  It is asked whether that is so: libports does the
   same, but if somebody has one again it forgets that there is to be another notice, and the
   pager stays for ever.  */
static void
no_senders (struct entrance *by)
{
  mach_port_t right = by->port->port_right, old = MACH_PORT_NULL;
  mach_port_status_t status;
  if (mach_port_get_receive_status (mach_task_self (), right, &status))
    return;
  if (! status.mps_srights)
    ports_no_senders (by->port, status.mps_mscount);
  else if (mach_port_request_notification (mach_task_self (), right, MACH_NOTIFY_NO_SENDERS,
					   status.mps_mscount, right,
					   MACH_MSG_TYPE_MAKE_SEND_ONCE, &old) == 0
	   && MACH_PORT_VALID (old))
    mach_port_deallocate (mach_task_self (), old);
}

/* The answer to a message, as long as nobody says otherwise.  */
static void
refuse (const mach_msg_header_t *in, mig_reply_header_t *out)
{
  memset (out, 0, sizeof *out);
  out->Head.msgh_bits = MACH_MSGH_BITS (MACH_MSGH_BITS_REMOTE (in->msgh_bits), 0);
  out->Head.msgh_size = sizeof *out;
  out->Head.msgh_remote_port = in->msgh_remote_port;
  out->Head.msgh_id = in->msgh_id + 100;
  out->RetCodeType = (mach_msg_type_t) { .msgt_name = MACH_MSG_TYPE_INTEGER_32, .msgt_size = 32,
					 .msgt_number = 1, .msgt_inline = 1 };
  out->RetCode = MIG_BAD_ID;
}

static void
serve (struct incoming *m)
{
  mach_msg_header_t *in = m->message;
  if (! m->routine)
    {
      if (in->msgh_id == MACH_NOTIFY_DEAD_NAME)
	dead_name (m->by, in);
      else if (in->msgh_id == MACH_NOTIFY_SEND_ONCE)
	_pager_late (m->by);
      else if (in->msgh_id == MACH_NOTIFY_NO_SENDERS)
	no_senders (m->by);
      mach_msg_destroy (in);	/* there are rights in it only if it is none of those */
      return;
    }
  struct { mig_reply_header_t head; char more[1024]; } out;
  refuse (in, &out.head);
  (*m->routine) (in, &out.head.Head);
  mach_port_t reply = in->msgh_remote_port;
  if (out.head.RetCode && out.head.RetCode != MIG_NO_REPLY)
    {
      in->msgh_remote_port = MACH_PORT_NULL;
      mach_msg_destroy (in);
    }
  if (! MACH_PORT_VALID (reply))
    return;
  if (out.head.RetCode == MIG_NO_REPLY)	/* nobody answers */
    mach_port_deallocate (mach_task_self (), reply);
  else if (mach_msg (&out.head.Head, MACH_SEND_MSG | MACH_SEND_TIMEOUT, out.head.Head.msgh_size, 0,
		     MACH_PORT_NULL, 0, MACH_PORT_NULL))
    mach_msg_destroy (&out.head.Head);
}

/* Takes the messages of a pager that have come, unless somebody is at it.  */
void
_pager_receive (struct pager *p)
{
  struct pager_requests *r = p->requests;
  pthread_mutex_lock (&r->lock);
  if (! p->receiving)
    {
      p->receiving = 1;
      struct incoming *m;
      while ((m = p->in))
	{
	  p->in = m->next;
	  if (! p->in)
	    p->in_tail = &p->in;
	  pthread_mutex_unlock (&r->lock);
	  p->from = m->by;
	  serve (m);
	  _pager_served (m->by, m->message->msgh_seqno);
	  ports_port_deref (m->by->port);
	  free (m);
	  pthread_mutex_lock (&r->lock);
	}
      p->receiving = 0;
    }
  pthread_mutex_unlock (&r->lock);
}

static __thread struct pager_requests *mine;
static __thread struct port_bucket *heard;
static __thread struct ports_thread online;

/* Puts a message into its pager's queue.  libports' own loop has a reference to the port
   until after this returns, and would drop the last one now and then.  */
static int
take (mach_msg_header_t *in, mach_msg_header_t *out)
{
  struct pager_requests *r = mine;
  mig_routine_t routine = _pager_memory_object_server_routine (in);
  if (! routine)
    routine = _pager_pager_info_server_routine (in);
  struct entrance *by = (MACH_MSGH_BITS_LOCAL (in->msgh_bits) == MACH_MSG_TYPE_PROTECTED_PAYLOAD
			 ? _pager_entrance_of_payload (in->msgh_protected_payload)
			 : _pager_entrance_of_port (in->msgh_local_port));
  refuse (in, (mig_reply_header_t *) out);
  if (! by)
    {
      if (! routine)
	routine = ports_notify_server_routine (in);
      if (routine)
	(*routine) (in, out);	/* the bucket's own port's */
      return routine != 0;
    }
  struct incoming *m = must (malloc (sizeof *m + in->msgh_size));
  m->next = 0;
  m->by = by;
  m->routine = routine;
  memcpy (m->message, in, in->msgh_size);
  struct pager *p = by->pager;
  pthread_mutex_lock (&r->lock);
  if (! p->requests)
    p->requests = r;
  *p->in_tail = m;
  p->in_tail = &m->next;
  ports_port_ref (p);		/* the task's; that of the port is the message's now */
  add_task (r, p, TASK_RECEIVE);
  pthread_mutex_unlock (&r->lock);
  ((mig_reply_header_t *) out)->RetCode = MIG_NO_REPLY;
  return 1;
}

static int
demuxer (mach_msg_header_t *in, mach_msg_header_t *out)
{
  int known = take (in, out);
  _ports_thread_quiescent (&heard->threadpool, &online);
  return known;
}

static void *
receive (struct pager_requests *r, struct port_bucket *bucket)
{
  pthread_setname_np (pthread_self (), "pager");
  mine = r;
  heard = bucket;
  _ports_thread_online (&bucket->threadpool, &online);
  for (;;)
    mach_msg_server_timeout (demuxer, 0, bucket->portset, 0, 0);
  return 0;
}

static void *
receiver (void *r)
{
  return receive (r, ((struct pager_requests *) r)->bucket);
}

static void *
readonly_receiver (void *r)
{
  return receive (r, ((struct pager_requests *) r)->readonly);
}

error_t
pager_start_workers (struct port_bucket *bucket, struct pager_requests **requests)
{
  /* What kernels map of us must not end at a limit of our own.  */
  struct rlimit all_there_is = { RLIM_INFINITY, RLIM_INFINITY };
  setrlimit (RLIMIT_AS, &all_there_is);

  *requests = 0;
  struct pager_requests *r = calloc (1, sizeof *r);
  if (! r)
    return ENOMEM;
  r->bucket = bucket;
  r->tail = &r->head;
  r->held_tail = &r->held;
  pthread_mutex_init (&r->lock, 0);
  pthread_cond_init (&r->work, 0);
  pthread_cond_init (&r->quiet, 0);
  r->readonly = ports_create_bucket ();
  error_t err = r->readonly ? begin_thread (worker, r) : errno;
  if (err)
    {
      free (r);
      return err;
    }
  r->workers = 1;
  pthread_mutex_lock (&all_lock);
  r->next = all;
  all = r;
  pthread_mutex_unlock (&all_lock);
  for (int i = 1; i < WORKERS && ! err; i++)
    {
      err = begin_thread (worker, r);	/* with fewer it is slower */
      pthread_mutex_lock (&r->lock);
      r->workers += ! err;
      pthread_mutex_unlock (&r->lock);
    }
  err = begin_thread (receiver, r);
  if (! err)
    err = begin_thread (readonly_receiver, r);
  if (! err)
    *requests = r;
  return err;
}

error_t
pager_inhibit_workers (struct pager_requests *r)
{
  pthread_mutex_lock (&r->lock);
  r->inhibited = 1;
  while (r->head || r->busy)
    pthread_cond_wait (&r->quiet, &r->lock);
  pthread_mutex_unlock (&r->lock);
  return 0;
}

void
pager_resume_workers (struct pager_requests *r)
{
  pthread_mutex_lock (&r->lock);
  r->inhibited = 0;
  if (r->held)
    {
      *r->tail = r->held;
      r->tail = r->held_tail;
      r->held = 0;
      r->held_tail = &r->held;
      pthread_cond_broadcast (&r->work);
    }
  pthread_mutex_unlock (&r->lock);
}

/* The clock.  */

coh_tick
_pager_now (void)
{
  struct timespec t;
  if (clock_gettime (CLOCK_MONOTONIC, &t))
    clock_gettime (CLOCK_REALTIME, &t);
  return (coh_tick) t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static pthread_mutex_t clock_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t clock_changed = PTHREAD_COND_INITIALIZER;
static struct pager *timed;
static int clock_runs;

static void *
run_clock (void *arg)
{
  (void) arg;
  pthread_mutex_lock (&clock_lock);
  for (;;)
    {
      coh_tick now = _pager_now (), next = INT64_MAX;
      struct pager **link = &timed, *due = 0;
      while (*link && ! due)
	{
	  struct pager *p = *link;
	  if (p->due <= now)
	    {
	      *link = p->next_timed;
	      p->timed = 0;
	      due = p;
	      ports_port_ref (p);	/* as long as the list's is there */
	    }
	  else
	    {
	      if (p->due < next)
		next = p->due;
	      link = &p->next_timed;
	    }
	}
      if (due)
	{
	  pthread_mutex_unlock (&clock_lock);
	  ports_port_deref_weak (due);
	  struct pager_requests *r = due->requests;	/* there are workers: one has set it */
	  pthread_mutex_lock (&r->lock);
	  add_task (r, due, TASK_TICK);
	  pthread_mutex_unlock (&r->lock);
	  pthread_mutex_lock (&clock_lock);
	}
      else if (next == INT64_MAX)
	pthread_cond_wait (&clock_changed, &clock_lock);
      else
	{
	  struct timespec t;
	  clock_gettime (CLOCK_REALTIME, &t);
	  coh_tick ms = next - now;
	  t.tv_sec += ms / 1000;
	  t.tv_nsec += ms % 1000 * 1000000;
	  if (t.tv_nsec >= 1000000000)
	    {
	      t.tv_sec++;
	      t.tv_nsec -= 1000000000;
	    }
	  pthread_cond_timedwait (&clock_changed, &clock_lock, &t);
	}
    }
  return 0;
}

/* Has the clock look after P at a time.  */
void
_pager_watch (struct pager *p, coh_tick due)
{
  pthread_mutex_lock (&clock_lock);
  if (! clock_runs)
    clock_runs = begin_thread (run_clock, 0) == 0;
  if (! p->timed)
    {
      p->timed = 1;
      p->due = INT64_MAX;
      p->next_timed = timed;
      timed = p;
      /* A weak one: the clock keeps nobody alive.  */
      ports_port_ref_weak (p);
    }
  if (due < p->due)
    {
      p->due = due;
      pthread_cond_signal (&clock_changed);
    }
  pthread_mutex_unlock (&clock_lock);
}

/* Has the clock forget P.  */
void
_pager_unwatch (struct pager *p)
{
  pthread_mutex_lock (&clock_lock);
  int was = p->timed;
  for (struct pager **link = &timed; was && *link; link = &(*link)->next_timed)
    if (*link == p)
      {
	*link = p->next_timed;
	break;
      }
  p->timed = 0;
  pthread_mutex_unlock (&clock_lock);
  if (was)
    ports_port_deref_weak (p);
}
