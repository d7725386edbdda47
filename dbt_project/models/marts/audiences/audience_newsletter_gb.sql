{{ config(meta={
    'description': 'Readers of the newsletter for the United Kingdom.',
    'owner': 'editorial',
    'purpose': 'marketing',
    'channels': ['email'],
}) }}

{{ newsletter_audience('GB') }}
