/* Kernels that map memory objects of the real pager.c, requests.c and messages.c, in
   threads: each numbers what it writes to a page, and whatever is read must be the last
   number.  main SEED MILLISECONDS.

   Copyright 2026 The hurdlab authors
   SPDX-License-Identifier: GPL-2.0-or-later  */

#include <assert.h>
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "priv.h"
#include "coherence-priv.h"
#include "memory_control_U.h"
#include "memory_object_S.h"

#define PAGES 12
#define KERNELS 4		/* of each object; the last has it for reading only */
#define OBJECTS 2		/* the second is told of evictions */
#define PATIENCE 20		/* seconds for anything */

static _Atomic int stop;
static __thread int in_receiver;
static unsigned seed;

static unsigned
dice (unsigned n)
{
  static __thread unsigned state;
  static unsigned threads;
  if (! state)
    state = seed * 7919 + __atomic_add_fetch (&threads, 1, __ATOMIC_RELAXED) * 104729 + 1;
  return rand_r (&state) % n;
}

static void
nap (unsigned us)
{
  if (us)
    usleep (dice (us) + 1);
}

#define FAIL(...) (fprintf (stderr, __VA_ARGS__), fputc ('\n', stderr), fflush (stderr), _exit (1))

static void tell_all (void);

/* Microseconds, at most, that a message with data keeps its sender.  */
static unsigned supply_takes;

static void
wait_for (pthread_cond_t *c, pthread_mutex_t *m, const char *what)
{
  struct timespec t;
  clock_gettime (CLOCK_REALTIME, &t);
  t.tv_sec += PATIENCE;
  if (pthread_cond_timedwait (c, m, &t) == ETIMEDOUT)
    {
      tell_all ();
      FAIL ("nothing has come of %s", what);
    }
}

/* Ports.  Names are never used again.  */

struct fake_kernel;
struct port
{
  struct port_info *object;	/* that receives */
  struct fake_kernel *kernel;	/* or that does */
  int ours;			/* the receive right is */
  struct port_info *wanted;	/* the notice of its death goes there */
  int dead, urefs, senders, no_senders_wanted;
  unsigned seqno, messages;
  natural_t mscount, no_senders_sync;
};

static pthread_mutex_t ports_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ports_changed = PTHREAD_COND_INITIALIZER;
enum { once = 5 };		/* a send-once right that comes back, for: */
static __thread struct port_info *once_for;
#define MAX_PORTS 500000
static struct port *ports[MAX_PORTS];
static mach_port_t last_port = 10;

static mach_port_t
new_port (struct port_info *object, struct fake_kernel *k)
{
  mach_port_t n = ++last_port;
  assert (n < MAX_PORTS);
  ports[n] = calloc (1, sizeof *ports[n]);
  ports[n]->object = object;
  ports[n]->kernel = k;
  return n;
}

struct fake_message
{
  union { mach_msg_header_t h; mach_dead_name_notification_t dead; };
  struct fake_message *next;
  struct port_info *to;
  mach_port_t control, name;
  vm_offset_t offset, data;
  vm_size_t length;
  int access, dirty, kept;
};

static struct fake_message *queue, **queue_tail = &queue;	/* of all port sets */

/* With the lock held.  */
static void
enqueue (struct port_info *to, struct fake_message m)
{
  struct fake_message *x = malloc (sizeof *x);
  *x = m;
  x->to = to;
  x->next = 0;
  x->h.msgh_bits = MACH_MSG_TYPE_PROTECTED_PAYLOAD << 8;
  x->h.msgh_size = sizeof *x;
  x->h.msgh_protected_payload = (uintptr_t) to;
  *queue_tail = x;
  queue_tail = &x->next;
  ports[to->port_right]->messages++;
  pthread_cond_broadcast (&ports_changed);
}

/* A message of a kernel.  */
static void
say (struct port_info *to, struct fake_message m)
{
  pthread_mutex_lock (&ports_lock);
  if (m.control)
    {
      ports[m.control]->urefs++;
      if (m.h.msgh_id == 2200)
	ports[m.name]->urefs++;
      if (m.h.msgh_id == 2201)
	{
	  ports[m.control]->urefs--;
	  ports[m.control]->ours = ports[m.name]->ours = 1;
	}
    }
  enqueue (to, m);
  pthread_mutex_unlock (&ports_lock);
}

/* With the lock held: the notice that there is no sender, if it is wanted and so.  */
static void
look_for_senders (struct port *p)
{
  if (p->senders || ! p->no_senders_wanted || p->mscount < p->no_senders_sync)
    return;
  p->no_senders_wanted = 0;
  enqueue (p->object, (struct fake_message) { .h.msgh_id = MACH_NOTIFY_NO_SENDERS });
}

static void
want_no_senders (struct port *p, natural_t sync)
{
  p->no_senders_wanted = 1;
  p->no_senders_sync = sync;
  look_for_senders (p);
}

static void
sender_gone (struct port *p)
{
  assert (p->senders > 0);
  p->senders--;
  look_for_senders (p);
}

static void
drop_send (mach_port_t name)
{
  pthread_mutex_lock (&ports_lock);
  sender_gone (ports[name]);
  pthread_mutex_unlock (&ports_lock);
}

kern_return_t
mach_port_deallocate (mach_port_t task, mach_port_t name)
{
  (void) task;
  if (! MACH_PORT_VALID (name))
    return 0;
  if (name == mach_task_self () || name == mach_host_self ())
    FAIL ("a right of the C library's is deallocated: %u", name);
  pthread_mutex_lock (&ports_lock);
  if (name == once)
    {
      enqueue (once_for, (struct fake_message) { .h.msgh_id = MACH_NOTIFY_SEND_ONCE });
      pthread_mutex_unlock (&ports_lock);
      return 0;
    }
  struct port *p = ports[name];
  if (p->object)
    sender_gone (p);
  else if (--p->urefs < 0)
    FAIL ("a right that is not there is deallocated: %u", name);
  pthread_mutex_unlock (&ports_lock);
  return 0;
}

kern_return_t
mach_port_destroy (mach_port_t task, mach_port_t name)
{
  (void) task;
  pthread_mutex_lock (&ports_lock);
  struct port *p = ports[name];
  if (! p->ours)
    FAIL ("a port that is not ours is destroyed: %u", name);
  p->ours = p->urefs = 0;
  p->dead = 1;
  pthread_mutex_unlock (&ports_lock);
  return 0;
}

/* The death of a port, with the lock held.  */
static void
die (mach_port_t name)
{
  struct port *p = ports[name];
  p->dead = 1;
  if (! p->wanted)
    return;
  p->urefs++;			/* the notice's */
  enqueue (p->wanted, (struct fake_message)
	   { .dead = { .not_header.msgh_id = MACH_NOTIFY_DEAD_NAME, .not_port = name } });
  p->wanted = 0;
}

kern_return_t
mach_port_request_notification (mach_port_t task, mach_port_t name, int variant, natural_t sync,
				mach_port_t notify, int type, mach_port_t *old)
{
  (void) task, (void) type;
  kern_return_t err = 0;
  pthread_mutex_lock (&ports_lock);
  struct port *p = ports[name];
  *old = MACH_PORT_NULL;
  if (variant == MACH_NOTIFY_NO_SENDERS)
    {
      assert (notify == name);
      want_no_senders (p, sync);
    }
  else if (notify)
    {
      p->wanted = ports[notify]->object;
      if (p->dead)
	die (name);
    }
  else if (p->dead)
    err = EINVAL;
  else
    {
      if (p->wanted)
	{
	  *old = once;
	  once_for = p->wanted;
	}
      p->wanted = 0;
    }
  pthread_mutex_unlock (&ports_lock);
  return err;
}

kern_return_t
mach_port_type (mach_port_t task, mach_port_t name, mach_port_type_t *type)
{
  (void) task;
  pthread_mutex_lock (&ports_lock);
  *type = ports[name]->dead ? MACH_PORT_TYPE_DEAD_NAME : 0;
  pthread_mutex_unlock (&ports_lock);
  return 0;
}

kern_return_t
mach_port_get_receive_status (mach_port_t task, mach_port_t name, mach_port_status_t *status)
{
  (void) task;
  pthread_mutex_lock (&ports_lock);
  struct port *p = ports[name];
  *status = (mach_port_status_t) { p->seqno, p->messages, p->mscount, p->senders };
  pthread_mutex_unlock (&ports_lock);
  return 0;
}

/* libports.  */

struct port_bucket *
ports_create_bucket (void)
{
  static mach_port_t sets;
  struct port_bucket *b = calloc (1, sizeof *b);
  b->portset = ++sets;		/* that of the main program's is 0 */
  return b;
}

struct port_class *
ports_create_class (void (*clean) (void *), void (*dropweak) (void *))
{
  struct port_class *c = malloc (sizeof *c);
  *c = (struct port_class) { clean, dropweak };
  return c;
}

error_t
ports_create_port (struct port_class *class, struct port_bucket *bucket, size_t size, void *result)
{
  struct port_info *pi = calloc (1, size);
  pi->class = class;
  pi->bucket = bucket;
  pi->hard = 1;
  pthread_mutex_lock (&ports_lock);
  pi->port_right = new_port (pi, 0);
  pthread_mutex_unlock (&ports_lock);
  *(void **) result = pi;
  return 0;
}

static void
change (struct port_info *pi, int hard, int weak)
{
  pthread_mutex_lock (&ports_lock);
  if ((hard < 0 && pi->hard == 0) || (weak < 0 && pi->weak == 0))
    FAIL ("a reference too few");
  if (hard + weak > 0 && pi->hard + pi->weak == 0)
    FAIL ("a reference to what is gone");
  pi->hard += hard;
  pi->weak += weak;
  int gone = pi->hard == 0 && pi->weak == 0;
  if (gone)
    {
      assert (! pi->has_senders);
      ports[pi->port_right]->dead = 1;
      for (struct fake_message **m = &queue; *m;)
	if ((*m)->to == pi)
	  {
	    struct fake_message *x = *m;
	    *m = x->next;
	    free (x);
	  }
	else
	  m = &(*m)->next;
      queue_tail = &queue;
      while (*queue_tail)
	queue_tail = &(*queue_tail)->next;
      /* libports waits until threads are past what they had received.  */
      pi->gone = 1;
      while (pi->in_hand)
	pthread_cond_wait (&ports_changed, &ports_lock);
    }
  pthread_mutex_unlock (&ports_lock);
  if (gone)
    {
      pi->class->clean (pi);
      free (pi);
    }
}

void ports_port_ref (void *p) { change (p, 1, 0); }
void ports_port_ref_weak (void *p) { change (p, 0, 1); }
void ports_port_deref_weak (void *p) { change (p, 0, -1); }

void
ports_port_deref (void *port)
{
  struct port_info *pi = port;
  if (! pi->class->dropweak)
    {
      change (pi, -1, 0);
      return;
    }
  pthread_mutex_lock (&ports_lock);
  if (pi->hard == 0)
    FAIL ("a reference too few");
  pi->hard--;
  pi->weak++;
  int drop = pi->hard == 0 && pi->weak > 1;
  pthread_mutex_unlock (&ports_lock);
  if (drop)
    pi->class->dropweak (pi);
  change (pi, 0, -1);
}

void *
ports_lookup_payload (struct port_bucket *bucket, uintptr_t payload, struct port_class *class)
{
  struct port_info *pi = (struct port_info *) payload;
  (void) bucket;
  pthread_mutex_lock (&ports_lock);
  int there = ! pi->gone && ! ports[pi->port_right]->dead && (! class || pi->class == class);
  pi->hard += there;
  pthread_mutex_unlock (&ports_lock);
  return there ? pi : 0;
}

void *
ports_lookup_port (struct port_bucket *bucket, mach_port_t name, struct port_class *class)
{
  (void) bucket, (void) name, (void) class;
  FAIL ("a port is looked for by its name");
}

static mach_port_t
get_right (struct port_info *pi)
{
  struct port *p = ports[pi->port_right];
  pi->mscount++;
  if (! pi->has_senders)
    {
      pi->has_senders = 1;
      pi->hard++;
      want_no_senders (p, pi->mscount);
    }
  return pi->port_right;
}

mach_port_t
ports_get_right (void *port)
{
  pthread_mutex_lock (&ports_lock);
  mach_port_t right = get_right (port);
  pthread_mutex_unlock (&ports_lock);
  return right;
}

mach_port_t
ports_get_send_right (void *port)
{
  struct port_info *pi = port;
  pthread_mutex_lock (&ports_lock);
  if (! MACH_PORT_VALID (pi->port_right))
    FAIL ("a right to what has none");
  mach_port_t right = get_right (pi);
  pthread_mutex_unlock (&ports_lock);
  nap (dice (50) ? 0 : 100);
  pthread_mutex_lock (&ports_lock);
  ports[right]->mscount++;
  ports[right]->senders++;
  pthread_mutex_unlock (&ports_lock);
  return right;
}

error_t
ports_destroy_right (void *port)
{
  struct port_info *pi = port;
  pthread_mutex_lock (&ports_lock);
  ports[pi->port_right]->dead = 1;
  int deref = pi->has_senders;
  pi->has_senders = 0;
  pthread_mutex_unlock (&ports_lock);
  if (deref)
    ports_port_deref (pi);
  return 0;
}

void
ports_no_senders (void *port, natural_t mscount)
{
  struct port_info *pi = port;
  pthread_mutex_lock (&ports_lock);
  int deref = pi->has_senders && mscount >= pi->mscount;
  if (deref)
    pi->has_senders = 0;
  else if (pi->has_senders)
    want_no_senders (ports[pi->port_right], pi->mscount);
  pthread_mutex_unlock (&ports_lock);
  if (deref)
    ports_port_deref (pi);
}

mig_routine_t
ports_notify_server_routine (const mach_msg_header_t *in)
{
  (void) in;
  return 0;
}

static void
object_server (mach_msg_header_t *in, mach_msg_header_t *out)
{
  struct fake_message *m = (struct fake_message *) in;
  ((mig_reply_header_t *) out)->RetCode = MIG_NO_REPLY;
  struct pager *p = _pager_of_payload (in->msgh_protected_payload);
  switch (in->msgh_id)
    {
    case 2200: _pager_S_memory_object_init (p, m->control, m->name, vm_page_size); break;
    case 2201: _pager_S_memory_object_terminate (p, m->control, m->name); break;
    case 2203: _pager_S_memory_object_data_request (p, m->control, m->offset, m->length, m->access); break;
    case 2204: _pager_S_memory_object_data_unlock (p, m->control, m->offset, m->length, m->access); break;
    case 2206: _pager_S_memory_object_lock_completed (p, m->control, m->offset, m->length); break;
    case 2208: _pager_S_memory_object_data_return (p, m->control, m->offset, m->data, m->length, m->dirty, m->kept); break;
    case 2209: _pager_S_memory_object_change_completed (p, 1, 2); break;
    }
  _pager_done (p);
}

mig_routine_t
_pager_memory_object_server_routine (const mach_msg_header_t *in)
{
  return in->msgh_id >= 2200 && in->msgh_id < 2300 ? object_server : 0;
}

static void
info_server (mach_msg_header_t *in, mach_msg_header_t *out)
{
  struct fake_message *m = (struct fake_message *) in;
  struct pager *p = _pager_of_payload (in->msgh_protected_payload);
  pager_text_t text;
  mach_msg_type_number_t n = 0;
  int clients;
  if (in->msgh_id == 45801)
    _pager_S_pager_detach (p, m->control);
  else if (_pager_S_pager_info (p, text, &n) || n >= sizeof text || sscanf (text, "clients %d\n", &clients) != 1)
    FAIL ("pager_info");
  ((mig_reply_header_t *) out)->RetCode = MIG_NO_REPLY;
  _pager_done (p);
}

mig_routine_t
_pager_pager_info_server_routine (const mach_msg_header_t *in)
{
  return in->msgh_id == 45800 || in->msgh_id == 45801 ? info_server : 0;
}

void _ports_thread_online (struct ports_threadpool *p, struct ports_thread *t) { (void) p, (void) t; }
void _ports_thread_quiescent (struct ports_threadpool *p, struct ports_thread *t) { (void) p, (void) t; }

mach_msg_return_t
mach_msg_server_timeout (ports_demuxer_type demuxer, unsigned size, mach_port_t set, int option,
			 unsigned timeout)
{
  (void) size, (void) option, (void) timeout;
  in_receiver = 1;
  for (;;)
    {
      struct fake_message **link, *m;
      pthread_mutex_lock (&ports_lock);
      for (link = &queue; ! (m = *link) || m->to->bucket->portset != set;)
	if (m)
	  link = &m->next;
	else
	  {
	    pthread_cond_wait (&ports_changed, &ports_lock);
	    link = &queue;
	  }
      *link = m->next;
      if (! m->next)
	queue_tail = link;
      struct port_info *to = m->to;
      ports[to->port_right]->messages--;
      m->h.msgh_seqno = ports[to->port_right]->seqno++;
      to->in_hand++;
      pthread_mutex_unlock (&ports_lock);
      mig_reply_header_t out;
      int known = demuxer (&m->h, &out.Head);
      free (m);
      pthread_mutex_lock (&ports_lock);
      if (! known && ! to->gone && ! ports[to->port_right]->dead)
	FAIL ("nobody wants a message");
      to->in_hand--;
      pthread_cond_broadcast (&ports_changed);
      pthread_mutex_unlock (&ports_lock);
    }
}

mach_msg_return_t
mach_msg (mach_msg_header_t *m, mach_msg_option_t o, mach_msg_size_t s, mach_msg_size_t r, mach_port_t p,
	  mach_msg_timeout_t t, mach_port_t n)
{
  (void) m, (void) o, (void) s, (void) r, (void) p, (void) t, (void) n;
  FAIL ("a message");
}

void mach_msg_destroy (mach_msg_header_t *m) { (void) m; }

/* Kernels, each with one object.  */

struct page_here
{
  int present, asked, unlock_asked, dirty, precious, wired, lock;
  uint64_t value;
};

struct fake_kernel
{
  struct test_object *o;
  int remote;			/* by messages that are queued; its queue may be full */
  int readonly;
  mach_port_t right;		/* to the object */
  struct port_info *to;		/* which receives there */
  pthread_rwlock_t use;
  pthread_mutex_t lock;
  pthread_cond_t changed;
  mach_port_t control, name;
  int ready, going, attending;	/* to messages */
  struct page_here pages[PAGES];
  unsigned refused[PAGES];
};

struct test_object
{
  struct pager *pager;
  mach_port_t right;
  struct user_pager_info *upi;
  struct fake_kernel kernels[KERNELS];
  pthread_mutex_t truth_lock[PAGES];
  uint64_t truth[PAGES];
};

struct user_pager_info
{
  struct test_object *o;
  struct pager *pager;
  int precious, hole[PAGES];
  int garbage[PAGES];		/* it was a hole, and has not been written yet */
  uint64_t store[PAGES];
  volatile int at_work;
};

static struct test_object objects[OBJECTS];

/* Says what the pagers know.  */
static void
tell_all (void)
{
  for (int i = 0; i < OBJECTS; i++)
    {
      struct pager *p = objects[i].pager;
      fprintf (stderr, "object %d: time %ld, storing %d, jobs %zu, receiving %d, in %p, timed %d due in %ld, queued %d %d %d\n", i,
	       (long) p->time, p->storing, p->jobs.n, p->receiving, (void *) p->in, p->timed, (long) (p->due - _pager_now ()),
	       p->tasks[0].task.queued, p->tasks[1].task.queued, p->tasks[2].task.queued);
      for (size_t j = 0; j < p->kernels.n; j++)
	{
	  struct kernel *k = p->kernels.v[j];
	  fprintf (stderr, "  kernel %ld of port %u: deaf %d dead %d sending %d slow %d, %zu messages\n", (long) k->id, k->control,
		   k->deaf, k->dead, k->sending, k->slow, k->out.n);
	}
      for (int j = 0; j < KERNELS; j++)
	fprintf (stderr, "  %d is port %u, attending %d\n", j, objects[i].kernels[j].control, objects[i].kernels[j].attending);
      size_t n;
      int64_t *pages = _active_in (p->coh, COH_EVERYTHING, &n);
      for (size_t j = 0; j < n; j++)
	{
	  struct page *g = _map_get (&p->coh->active, pages[j]);
	  fprintf (stderr, "  page %ld: held %d loading %d reserving %d writing %d ops %zu", (long) g->n, g->held, g->loading, g->reserving, !! g->writing, g->ops.n);
	  for (size_t k = 0; k < g->queue.n; k++)
	    fprintf (stderr, ", %ld wants %d", (long) g->queue.v[k].c->id, g->queue.v[k].kind);
	  for (size_t k = 0; k < g->locks.n; k++)
	    fprintf (stderr, ", lock of %ld: %ld+%ld", (long) g->locks.v[k]->c->id, (long) g->locks.v[k]->r.first, (long) g->locks.v[k]->r.n);
	  fprintf (stderr, "\n");
	}
    }
}

static int cleared, evictions, grants, refusals, deaths, ends, detached, full;

static void
attach (struct fake_kernel *k)
{
  mach_port_t right = k->readonly ? pager_create_ro_port (k->o->pager) : k->o->right;
  if (! right)
    FAIL ("there is no port for reading");
  pthread_mutex_lock (&k->lock);
  memset (k->pages, 0, sizeof k->pages);
  pthread_mutex_lock (&ports_lock);
  k->control = new_port (0, k);
  k->name = new_port (0, k);
  k->right = right;
  k->to = ports[right]->object;
  if (! k->readonly)
    ports[right]->senders++;	/* a copy of the main program's */
  pthread_mutex_unlock (&ports_lock);
  k->ready = k->going = 0;
  say (k->to, (struct fake_message) { .h.msgh_id = 2200, .control = k->control, .name = k->name });
  pthread_mutex_unlock (&k->lock);
}

static void
give_back (struct fake_kernel *k, int n, int kept)
{
  struct page_here *g = &k->pages[n];
  uint64_t *data = mmap (0, vm_page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  *data = g->value;
  say (k->to, (struct fake_message)
       { .h.msgh_id = 2208, .control = k->control, .offset = n * vm_page_size, .data = (vm_offset_t) data,
	 .length = vm_page_size, .dirty = g->dirty, .kept = kept });
  g->dirty = g->precious = 0;
}

static void
forget (struct page_here *g)
{
  memset (g, 0, sizeof *g);
}

static void
wait_until_let_go (mach_port_t control)
{
  for (int i = 0;; i++)
    {
      pthread_mutex_lock (&ports_lock);
      int refs = ports[control]->urefs;
      pthread_mutex_unlock (&ports_lock);
      if (! refs)
	return;
      if (i > PATIENCE * 1000)
	FAIL ("port %u is not let go of", control);
      usleep (1000);
    }
}

/* The end of a use of the object, with the use locked; abruptly, but what was written
   is not lost.  */
static void
detach (struct fake_kernel *k, int abruptly)
{
  pthread_mutex_lock (&k->lock);
  while (! k->ready)
    wait_for (&k->changed, &k->lock, "memory_object_init");
  k->going = 1;
  while (k->attending)
    wait_for (&k->changed, &k->lock, "a lock request that is carried out");
  for (int n = 0; n < PAGES; n++)
    {
      if (k->pages[n].present && k->pages[n].dirty)
	give_back (k, n, 0);
      forget (&k->pages[n]);
    }
  if (! abruptly && k->remote && dice (2))
    {
      /* netmsg has the receive rights, until nobody can say anything there.  */
      say (k->to, (struct fake_message) { .h.msgh_id = 45801, .control = k->control });
      pthread_mutex_unlock (&k->lock);
      wait_until_let_go (k->control);
      pthread_mutex_lock (&k->lock);
      pthread_mutex_lock (&ports_lock);
      ports[k->control]->dead = ports[k->name]->dead = 1;
      pthread_mutex_unlock (&ports_lock);
      __atomic_add_fetch (&detached, 1, __ATOMIC_RELAXED);
    }
  else if (! abruptly)
    {
      say (k->to, (struct fake_message) { .h.msgh_id = 2201, .control = k->control, .name = k->name });
      __atomic_add_fetch (&ends, 1, __ATOMIC_RELAXED);
    }
  else
    {
      pthread_mutex_lock (&ports_lock);
      die (k->control);
      die (k->name);
      /* Somebody says so by another port than the kernel's, too.  */
      if (k->readonly)
	enqueue ((struct port_info *) k->o->pager, (struct fake_message)
		 { .dead = { .not_header.msgh_id = MACH_NOTIFY_DEAD_NAME, .not_port = k->control } });
      pthread_mutex_unlock (&ports_lock);
      __atomic_add_fetch (&deaths, 1, __ATOMIC_RELAXED);
    }
  pthread_mutex_unlock (&k->lock);
  drop_send (k->right);
}

/* A thread's access to a page.  */
static void
use (struct fake_kernel *k, int n, int write)
{
  pthread_rwlock_rdlock (&k->use);
  pthread_mutex_lock (&k->lock);
  struct page_here *g = &k->pages[n];
  for (;;)
    {
      char what[80];
      snprintf (what, sizeof what, "page %d of kernel %d, to %s: present %d, lock %d", n,
		(int) (k - k->o->kernels), write ? "write" : "read", g->present, g->lock);
      if (! k->ready)
	;
      else if (! g->present)
	{
	  if (! g->asked)
	    say (k->to, (struct fake_message) { .h.msgh_id = 2203, .control = k->control, .offset = n * vm_page_size,
		 .length = vm_page_size, .access = write ? 3 : 1 });
	  g->asked = 1;
	}
      else if (write && (g->lock & VM_PROT_WRITE))
	{
	  if (! g->unlock_asked)
	    say (k->to, (struct fake_message) { .h.msgh_id = 2204, .control = k->control, .offset = n * vm_page_size,
		 .length = vm_page_size, .access = 3 });
	  g->unlock_asked = 1;
	}
      else
	break;
      wait_for (&k->changed, &k->lock, what);
    }
  pthread_mutex_lock (&k->o->truth_lock[n]);
  if (g->value != k->o->truth[n])
    FAIL ("page %d is %lu, not %lu", n, (long) g->value, (long) k->o->truth[n]);
  if (write)
    {
      g->value = ++k->o->truth[n];
      g->dirty = 1;
    }
  pthread_mutex_unlock (&k->o->truth_lock[n]);
  int wire = ! k->remote && ! dice (100);
  g->wired += wire;
  __atomic_add_fetch (&grants, 1, __ATOMIC_RELAXED);
  pthread_mutex_unlock (&k->lock);
  if (wire)
    {
      nap (20000);
      pthread_mutex_lock (&k->lock);
      g->wired--;
      pthread_cond_broadcast (&k->changed);
      pthread_mutex_unlock (&k->lock);
    }
  pthread_rwlock_unlock (&k->use);
}

/* A thread of a kernel that has the object for reading only wants to write, until it has been
   told that it may not.  Before that the kernel says that it has done so already.  */
static void
trespass (struct fake_kernel *k, int n)
{
  pthread_rwlock_rdlock (&k->use);
  pthread_mutex_lock (&k->lock);
  struct page_here *g = &k->pages[n];
  if (k->ready && g->present && ! g->wired && dice (2))
    {
      g->value += 1000000;
      g->dirty = 1;
      give_back (k, n, 0);
      forget (g);
      pthread_cond_broadcast (&k->changed);
    }
  unsigned before = k->refused[n];
  while (k->refused[n] == before)
    {
      if (k->ready && ! g->present && ! g->asked)
	{
	  say (k->to, (struct fake_message) { .h.msgh_id = 2203, .control = k->control, .offset = n * vm_page_size,
	       .length = vm_page_size, .access = 3 });
	  g->asked = 1;
	}
      else if (k->ready && g->present && ! g->unlock_asked)
	{
	  say (k->to, (struct fake_message) { .h.msgh_id = 2204, .control = k->control, .offset = n * vm_page_size,
	       .length = vm_page_size, .access = 3 });
	  g->unlock_asked = 1;
	}
      wait_for (&k->changed, &k->lock, "a page that may not be written to");
    }
  pthread_mutex_unlock (&k->lock);
  pthread_rwlock_unlock (&k->use);
}

static void
evict (struct fake_kernel *k, int n)
{
  pthread_mutex_lock (&k->lock);
  struct page_here *g = &k->pages[n];
  if (k->ready && ! k->going && g->present && ! g->wired)
    {
      if (g->dirty || g->precious)
	give_back (k, n, 0);
      forget (g);
      pthread_cond_broadcast (&k->changed);
    }
  pthread_mutex_unlock (&k->lock);
}

/* The kernel that a message is for, which is locked then.  */
static struct fake_kernel *
attend (mach_port_t control, mach_port_t reply, error_t *err)
{
  if (in_receiver)
    FAIL ("the receiver sends");
  pthread_mutex_lock (&ports_lock);
  struct port *p = ports[control];
  struct fake_kernel *k = p->kernel;
  *err = p->dead ? MACH_SEND_INVALID_DEST : 0;
  int queued = p->ours;
  pthread_mutex_unlock (&ports_lock);
  if (! *err && k->remote && ! dice (20))
    {
      __atomic_add_fetch (&full, 1, __ATOMIC_RELAXED);
      *err = MACH_SEND_TIMED_OUT;
    }
  if (*err || queued)
    {
      if (reply && *err != MACH_SEND_INVALID_DEST)
	drop_send (reply);
      return 0;
    }
  pthread_mutex_lock (&k->lock);
  if (k->going || k->control != control)
    {
      pthread_mutex_unlock (&k->lock);
      if (reply)
	drop_send (reply);
      return 0;
    }
  k->attending++;
  return k;
}

static error_t
attended (struct fake_kernel *k)
{
  k->attending--;
  pthread_cond_broadcast (&k->changed);
  pthread_mutex_unlock (&k->lock);
  return 0;
}

kern_return_t
_pager_send_ready (mach_port_t control, boolean_t cache, memory_object_copy_strategy_t copy)
{
  error_t err;
  (void) cache, (void) copy;
  struct fake_kernel *k = attend (control, 0, &err);
  if (! k)
    return err;
  k->ready = 1;
  return attended (k);
}

kern_return_t
_pager_send_data_supply (mach_port_t control, vm_offset_t offset, vm_offset_t data, mach_msg_type_number_t size,
			 vm_prot_t lock, boolean_t precious, mach_port_t reply)
{
  error_t err;
  nap (__atomic_load_n (&supply_takes, __ATOMIC_RELAXED));
  struct fake_kernel *k = attend (control, reply, &err);
  if (! k)
    return err;
  for (vm_size_t i = 0; i < size; i += vm_page_size)
    {
      struct page_here *g = &k->pages[(offset + i) / vm_page_size];
      if (k->readonly && ! (lock & VM_PROT_WRITE))
	FAIL ("who may only read is let write to page %d", (int) ((offset + i) / vm_page_size));
      if (g->present)
	continue;
      *g = (struct page_here) { .present = 1, .lock = lock, .precious = precious, .value = *(uint64_t *) (data + i) };
    }
  return attended (k);
}

kern_return_t
_pager_send_lock_request (mach_port_t control, vm_offset_t offset, vm_size_t size, memory_object_return_t ret,
			  boolean_t flush, vm_prot_t lock, mach_port_t reply)
{
  error_t err;
  struct fake_kernel *k = attend (control, reply, &err);
  if (! k)
    return err;
  if (reply && reply != k->right)
    FAIL ("an answer is wanted where other messages do not go");
  if (k->readonly && ! flush && lock != VM_PROT_NO_CHANGE && ! (lock & VM_PROT_WRITE))
    FAIL ("who may only read is let write");
  for (vm_size_t i = 0; i < size && (offset + i) / vm_page_size < PAGES; i += vm_page_size)
    {
      int n = (offset + i) / vm_page_size;
      struct page_here *g = &k->pages[n];
      while (g->present && g->wired && (flush || (lock & VM_PROT_WRITE)))
	wait_for (&k->changed, &k->lock, "a wired page");
      if (! g->present)
	continue;
      if (! flush && lock != VM_PROT_NO_CHANGE)
	{
	  g->lock = lock;
	  g->unlock_asked = 0;
	}
      if ((ret && g->dirty) || (ret == MEMORY_OBJECT_RETURN_ALL && g->precious))
	give_back (k, n, ! flush);
      if (flush)
	forget (g);
      pthread_cond_broadcast (&k->changed);
      pthread_mutex_unlock (&k->lock);
      nap (dice (20) ? 0 : 300);
      pthread_mutex_lock (&k->lock);
    }
  if (reply)
    {
      say (k->to, (struct fake_message)
	   { .h.msgh_id = 2206, .control = k->control, .offset = offset, .length = size });
      drop_send (reply);
    }
  return attended (k);
}

kern_return_t
_pager_send_change_attributes (mach_port_t control, boolean_t cache, memory_object_copy_strategy_t copy, mach_port_t reply)
{
  error_t err;
  (void) cache, (void) copy;
  struct fake_kernel *k = attend (control, reply, &err);
  if (! k)
    return err;
  if (reply)
    {
      say (k->to, (struct fake_message) { .h.msgh_id = 2209 });
      drop_send (reply);
    }
  return attended (k);
}

kern_return_t
_pager_send_data_error (mach_port_t control, vm_offset_t offset, vm_size_t size, kern_return_t why)
{
  error_t err;
  struct fake_kernel *k = attend (control, 0, &err);
  if (! k)
    return err;
  if (! k->readonly)
    FAIL ("page %d: error %d", (int) (offset / vm_page_size), why);
  for (vm_size_t i = 0; i < size; i += vm_page_size)
    {
      int n = (offset + i) / vm_page_size;
      k->refused[n]++;
      k->pages[n].asked = 0;
      __atomic_add_fetch (&refusals, 1, __ATOMIC_RELAXED);
    }
  return attended (k);
}

kern_return_t
_pager_send_destroy (mach_port_t control, kern_return_t why)
{
  error_t err;
  struct fake_kernel *k = attend (control, 0, &err);
  if (! k)
    return err;
  if (! stop)
    FAIL ("a kernel is cut off: %d", why);
  k->going = 1;
  pthread_mutex_lock (&ports_lock);
  die (control);
  pthread_mutex_unlock (&ports_lock);
  return attended (k);
}

/* The user.  */

static void
begin_work (struct user_pager_info *u)
{
  if (in_receiver || __atomic_exchange_n (&u->at_work, 1, __ATOMIC_SEQ_CST))
    FAIL ("two calls to the user at a time, or by the receiver");
  nap (dice (4) ? 0 : 500);
}

error_t
pager_read_page (struct user_pager_info *u, vm_offset_t page, vm_address_t *buf, int *lock)
{
  begin_work (u);
  int n = page / vm_page_size;
  *buf = (vm_address_t) mmap (0, vm_page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  *(uint64_t *) *buf = u->store[n];
  *lock = u->hole[n];
  if (u->garbage[n])
    FAIL ("page %d is read from where there is nothing yet", n);
  u->at_work = 0;
  return 0;
}

error_t
pager_write_page (struct user_pager_info *u, vm_offset_t page, vm_address_t buf)
{
  begin_work (u);
  int n = page / vm_page_size;
  uint64_t v = *(uint64_t *) buf;
  pthread_mutex_lock (&u->o->truth_lock[n]);
  uint64_t truth = u->o->truth[n];
  pthread_mutex_unlock (&u->o->truth_lock[n]);
  if (u->hole[n] || v > truth || v < __atomic_load_n (&u->store[n], __ATOMIC_SEQ_CST))
    FAIL ("page %d: %lu is stored, hole %d, after %lu, of %lu", n, (long) v, u->hole[n], (long) u->store[n], (long) truth);
  __atomic_store_n (&u->store[n], v, __ATOMIC_SEQ_CST);
  u->garbage[n] = 0;
  u->at_work = 0;
  return 0;
}

error_t
pager_unlock_page (struct user_pager_info *u, vm_offset_t page)
{
  begin_work (u);
  int n = page / vm_page_size;
  u->garbage[n] = u->garbage[n] || u->hole[n];
  u->hole[n] = 0;
  u->at_work = 0;
  return 0;
}

void
pager_notify_evict (struct user_pager_info *u, vm_offset_t page)
{
  begin_work (u);
  (void) page;
  if (! u->precious)
    FAIL ("an eviction that nobody wants to know of");
  evictions++;
  u->at_work = 0;
}

void
pager_clear_user_data (struct user_pager_info *u)
{
  begin_work (u);
  /* ext2fs looks at the pager of a file until this has been done.  */
  if (u->pager && pager_get_upi (u->pager) != u)
    FAIL ("a pager is another's");
  u->at_work = 0;
  __atomic_add_fetch (&cleared, 1, __ATOMIC_SEQ_CST);
}

void pager_dropweak (struct user_pager_info *u) { (void) u; }

/* The test.  */

static void *
run_user (void *arg)
{
  struct fake_kernel *k = arg;
  while (! stop)
    {
      int n = dice (PAGES), write = ! dice (3);
      if (write && k->readonly)
	trespass (k, n);
      else
	use (k, n, write);
      nap (dice (8) ? 0 : 400);
    }
  return 0;
}

static void *
run_pageout (void *arg)
{
  struct fake_kernel *k = arg;
  while (! stop)
    {
      nap (3000);
      evict (k, dice (PAGES));
      if (! dice (60))
	{
	  pthread_rwlock_wrlock (&k->use);
	  detach (k, ! dice (2));
	  attach (k);
	  pthread_rwlock_unlock (&k->use);
	}
    }
  return 0;
}

static void
check_stored (struct test_object *o, const uint64_t *least)
{
  for (int n = 0; n < PAGES; n++)
    if (__atomic_load_n (&o->upi->store[n], __ATOMIC_SEQ_CST) < least[n])
      FAIL ("page %d: %lu has been synced, but %lu is stored", n, (long) least[n], (long) o->upi->store[n]);
}

/* Says what kernels do not say, which is to have no effect.  */
static void
lie (struct test_object *o)
{
  struct fake_kernel *k = &o->kernels[dice (KERNELS)];
  pthread_mutex_lock (&k->lock);
  struct port_info *to = k->to;
  pthread_mutex_lock (&ports_lock);
  int alive = ! ports[k->control]->dead && ! ports[k->control]->ours && ! k->going;
  if (alive)
    enqueue (to, (struct fake_message)
	     { .dead = { .not_header.msgh_id = MACH_NOTIFY_DEAD_NAME, .not_port = k->control } });
  pthread_mutex_unlock (&ports_lock);
  if (alive)
    {
      say (to, (struct fake_message) { .h.msgh_id = 2200, .control = k->control, .name = k->name });
      say (to, (struct fake_message)
	   { .h.msgh_id = 2206, .control = k->control, .offset = PAGES * vm_page_size, .length = vm_page_size });
      say (to, (struct fake_message)
	   { .h.msgh_id = 2203, .control = k->control, .offset = 1, .length = 5, .access = 1 });
      /* Who may only read says what a page is, in the name of one that may write.  */
      struct fake_kernel *reader = &o->kernels[KERNELS - 1];
      if (k != reader && pthread_mutex_trylock (&reader->lock) == 0)
	{
	  for (int n = 0; n < PAGES && reader->ready && ! reader->going; n++)
	    {
	      uint64_t *data = mmap (0, vm_page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	      *data = 4000000000;
	      say (reader->to, (struct fake_message)
		   { .h.msgh_id = 2208, .control = k->control, .offset = n * vm_page_size, .data = (vm_offset_t) data,
		     .length = vm_page_size, .dirty = 1 });
	    }
	  pthread_mutex_unlock (&reader->lock);
	}
    }
  pthread_mutex_unlock (&k->lock);
}

/* The file system takes pages away and puts others in their place, as in a truncation, while
   nobody uses them: what was in them is nowhere any more.  */
static void
replace (struct test_object *o)
{
  int first = dice (PAGES), n = 1 + dice (PAGES - first);
  for (int j = 0; j < KERNELS; j++)
    pthread_rwlock_wrlock (&o->kernels[j].use);
  pager_flush_some (o->pager, first * vm_page_size, n * vm_page_size, 1);
  for (int i = first; i < first + n; i++)
    {
      pthread_mutex_lock (&o->truth_lock[i]);
      o->upi->garbage[i] = 0;
      o->upi->hole[i] = ! dice (2);
      o->truth[i] = o->upi->hole[i] ? 0 : o->truth[i] + 1000;
      __atomic_store_n (&o->upi->store[i], o->truth[i], __ATOMIC_SEQ_CST);
      pthread_mutex_unlock (&o->truth_lock[i]);
    }
  for (int j = 0; j < KERNELS; j++)
    pthread_rwlock_unlock (&o->kernels[j].use);
}

static void *
run_owner (void *arg)
{
  struct test_object *o = arg;
  while (! stop)
    {
      uint64_t least[PAGES];
      nap (30000);
      for (int n = 0; n < PAGES; n++)
	{
	  pthread_mutex_lock (&o->truth_lock[n]);
	  least[n] = o->truth[n];
	  pthread_mutex_unlock (&o->truth_lock[n]);
	}
      lie (o);
      say ((struct port_info *) o->pager, (struct fake_message) { .h.msgh_id = 45800 });
      if (! dice (3))
	drop_send (pager_create_ro_port (o->pager));
      switch (dice (5))
	{
	case 4:
	  replace (o);
	  break;
	case 0:
	  pager_sync (o->pager, 1);
	  check_stored (o, least);
	  break;
	case 1:
	  pager_return_some (o->pager, 0, PAGES * vm_page_size, 1);
	  check_stored (o, least);
	  break;
	case 2:
	  pager_change_attributes (o->pager, 1, dice (2) ? 0 : 2, dice (2));
	  break;
	default:
	  pager_sync (o->pager, 0);
	}
    }
  return 0;
}

static void *
run_sync (void *arg)
{
  struct test_object *o = arg;
  nap (40000);
  pager_sync (o->pager, 1);
  return 0;
}

/* A kernel is to give back one page while it is supplied with another, for longer than the clock
   has something to look after.  Nothing else happens: what is forgotten then stays so.  */
static void
sync_beside_supply (struct fake_kernel *k)
{
  __atomic_store_n (&supply_takes, 40000, __ATOMIC_RELAXED);
  for (int i = 0; i < 20; i++)
    {
      pthread_t t;
      evict (k, 1);
      evict (k, 2);
      use (k, 1, 1);
      pthread_create (&t, 0, run_sync, k->o);
      use (k, 2, 0);
      alarm (PATIENCE);
      pthread_join (t, 0);
      alarm (0);
    }
  __atomic_store_n (&supply_takes, 0, __ATOMIC_RELAXED);
}

static void
tell_ports (void)
{
  for (mach_port_t i = 0; i <= last_port; i++)
    if (ports[i] && ports[i]->object && ! ports[i]->dead)
      fprintf (stderr, "port %u: %u references, %u weak ones, %d senders\n", i, ports[i]->object->hard,
	       ports[i]->object->weak, ports[i]->senders);
}

int
main (int argc, char **argv)
{
  seed = argc > 1 ? atoi (argv[1]) : 1;
  int ms = argc > 2 ? atoi (argv[2]) : 2000;
  static struct port_bucket bucket;
  struct pager_requests *requests;
  assert (pager_start_workers (&bucket, &requests) == 0);
  pthread_t threads[OBJECTS * (KERNELS * 3 + 1)];
  int n = 0;
  for (int i = 0; i < OBJECTS; i++)
    {
      struct test_object *o = &objects[i];
      o->pager = pager_create_alloc (sizeof *o->upi, &bucket, 1, 2, i);
      o->upi = pager_get_upi (o->pager);
      o->upi->o = o;
      o->upi->pager = o->pager;
      o->upi->precious = i;
      for (int j = 0; j < PAGES; j++)
	{
	  o->upi->hole[j] = j % 3 == 0;
	  pthread_mutex_init (&o->truth_lock[j], 0);
	}
      o->right = ports_get_send_right (o->pager);
      for (int j = 0; j < KERNELS; j++)
	{
	  struct fake_kernel *k = &o->kernels[j];
	  k->o = o;
	  k->remote = j % 3 > 0;
	  k->readonly = j == KERNELS - 1;
	  pthread_rwlock_init (&k->use, 0);
	  pthread_mutex_init (&k->lock, 0);
	  pthread_cond_init (&k->changed, 0);
	  attach (k);
	  if (j == 0)
	    {
	      /* The owner takes what the only kernel has just got.  */
	      alarm (PATIENCE);
	      use (k, 0, 1);
	      pager_return_some (o->pager, 0, vm_page_size, 1);
	      alarm (0);
	      if (i == 0)
		sync_beside_supply (k);
	    }
	  pthread_create (&threads[n++], 0, run_user, k);
	  pthread_create (&threads[n++], 0, run_user, k);
	  pthread_create (&threads[n++], 0, run_pageout, k);
	}
      pthread_create (&threads[n++], 0, run_owner, o);
    }
  usleep (ms * 1000);
  stop = 1;
  alarm (2 * PATIENCE);		/* for waits that have none */
  for (int i = 0; i < n; i++)
    pthread_join (threads[i], 0);
  for (int i = 0; i < OBJECTS; i++)
    {
      struct test_object *o = &objects[i];
      pager_sync (o->pager, 1);
      for (int j = 0; j < PAGES; j++)
	if (o->upi->store[j] != o->truth[j])
	  FAIL ("page %d: %lu is stored at the end, not %lu", j, (long) o->upi->store[j], (long) o->truth[j]);
      /* One object ends with its last user, the other by its owner.  */
      if (i == 1)
	pager_shutdown (o->pager);
      for (int j = 0; j < KERNELS; j++)
	if (! i)
	  detach (&o->kernels[j], j == 1);
      ports_port_deref (o->pager);
      if (! i)
	drop_send (o->right);
    }
  for (int i = 0; __atomic_load_n (&cleared, __ATOMIC_SEQ_CST) < OBJECTS; i++)
    {
      if (i > 3000)
	{
	  tell_ports ();
	  FAIL ("%d of %d pagers have ended", cleared, OBJECTS);
	}
      usleep (1000);
    }
  pthread_mutex_lock (&ports_lock);
  for (mach_port_t i = 0; i <= last_port; i++)
    if (ports[i] && ! ports[i]->object && (ports[i]->urefs || ports[i]->ours))
      FAIL ("port %u: %d references are left, of %u ports", i, ports[i]->urefs, last_port);
  pthread_mutex_unlock (&ports_lock);
  if (! refusals)
    FAIL ("nobody was refused");
  printf ("%d accesses, %d refused, %d evictions, %d ends, %d told by netmsg, %d deaths, %d full queues\n", grants, refusals, evictions, ends, detached, deaths, full);
  fflush (stdout);
  _exit (0);
}
